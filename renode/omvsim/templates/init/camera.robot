*** Settings ***
Library         omvsim.robotlib
Test Teardown   Stop Camera


*** Test Cases ***
The Page Is Fetched
    Start Camera    ${CURDIR}/world.toml
    Camera Runs    ${CURDIR}/client.py
    Camera Should Print    Hello, camera.
    Peer Is    server.example
    Peer Should Have Finished Its Handshake
