*** Settings ***
Documentation    DTLS clients that lose, cut, reverse, repeat and forge what they send (RFC 6347), and a camera that is the server. After each, a good client is greeted.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera
Test Tags        hostile-dtls
Test Template    The Server Greets A Client With


*** Test Cases ***
A DTLS Client That Behaves    no
A Client Whose Flights Are Lost    lost_flight
A Client Whose First Datagrams Are Lost    lost_datagram
A Client Whose Flights Come In Reverse    reversed_flight
A Client That Cuts Its Messages    small_fragments
A Client That Cuts Its ClientHello    fragmented_hello
A Client Whose Fragments Come In Reverse    reversed_fragments
A Client Whose Fragments Overlap    overlapping_fragments

A Client Whose Datagrams Come Twice
    [Tags]    tenth
    repeated_datagrams

A Client Whose Data Is Replayed    replayed_data
A Client Whose Finished Comes Early    early_finished
A Client With Forged Records    wrong_tag

A Client With Copies In A Wrong Epoch
    [Documentation]    RFC 6347 would have them ignored; for a ClientHello Mbed TLS raises UNEXPECTED_MESSAGE.
    [Template]    The Server Refuses A Hello With
    wrong_epoch    -30464

A Client With Noise Before Each Datagram
    [Documentation]    RFC 6347 would have it ignored; before a ClientHello Mbed TLS raises INVALID_RECORD.
    [Template]    The Server Refuses A Hello With
    garbage    -29184

A Client With A Wrong Cookie
    [Tags]    tenth
    [Template]    The Server Refuses A Client With
    wrong_cookie    -27264

A Client With The Cookie Of Another
    [Template]    The Server Refuses A Client With
    foreign_cookie    -27264

A Client Without Any Cookie
    [Template]    The Server Refuses A Client With
    no_cookie    -27264

A Client Whose Fragments Contradict Each Other
    [Template]    The Server Refuses A Client With
    conflicting_fragments    -

A Client Whose Finished Is Wrong
    [Template]    The Server Refuses A Client With
    wrong_finished    -

A Client With Messages Of 16 MiB
    [Template]    The Server Refuses A Client With
    huge_length    -

A Flood Of Spoofed ClientHellos
    [Documentation]    The cookies of 200 addresses cost no memory, and a good client gets through.
    [Template]    NONE
    Camera Starts    ${CURDIR}/../ssl/camera/dtls_many_hellos.py    count=${200}
    Client Calls Camera    dtls    name=flood    misbehave=no_cookie    count=${200}    leave_ms=40
    Camera Finishes    200
    Camera Should Print    heap 0


*** Keywords ***
The Server Greets A Client With
    [Arguments]    ${misbehaviour}
    Camera Starts    ${CURDIR}/camera/dtls_server.py
    Client Connects To Camera    dtls    name=hostile    misbehave=${misbehaviour}    send=ping    hold_ms=6000    retry_ms=5000
    Peer Should Have Received    hello\n
    IF    '${misbehaviour}' != 'no'    Peer Should Have Misbehaved    hostile
    Camera Output Should Hold    got b'ping'\nand no more
    Heap Should Be As Before
    A Good Client Is Greeted

The Server Refuses A Client With
    [Arguments]    ${misbehaviour}    ${error}
    The Server Refuses A Hello With    ${misbehaviour}    ${error}
    Peer Should Have Misbehaved    hostile

The Server Refuses A Hello With
    [Documentation]    No honest hello meets that error.
    [Arguments]    ${misbehaviour}    ${error}
    Camera Starts    ${CURDIR}/camera/dtls_server.py
    Client Calls Camera    dtls    name=hostile    misbehave=${misbehaviour}    send=ping    leave_ms=15000    retry_ms=5000
    Time Passes    16
    Nobody Should Have Met    hostile
    Camera Output Should Hold    refused (${error}
    Heap Should Be As Before
    A Good Client Is Greeted

A Good Client Is Greeted
    Client Connects To Camera    dtls    name=good    address=192.168.1.21    send=ping    hold_ms=4000
    Peer Should Have Received    hello\n
    Camera Output Should Hold    got b'ping'
