*** Settings ***
Documentation    What the tutorial on certificates leads to: files made on the host, put on the camera by mpremote, used there.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
Files Are Put On The Camera With mpremote
    [Tags]    tutorial.mpremote
    ${certificate}=    File Is On The Host    mine.der    certificate=server
    ${key}=    File Is On The Host    mine.key    key=server
    Mpremote Runs    fs    cp    ${certificate}    ${key}    :
    Camera Starts    ${CURDIR}/camera/serve_one.py    cert=mine.der    key=mine.key
    Client Connects To Camera    verify=ca
    Peer Should Have Verified The Camera

What omvsim certs Makes Serves
    [Tags]    tutorial.self-signed
    Omvsim Certs Makes    --self-signed    --server-name    camera.local
    Camera Starts    ${CURDIR}/camera/serve_one.py
    Client Connects To Camera    verify=made_server    server_name=camera.local
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n

A Self-Signed Server Is Trusted By Its Own Certificate
    [Tags]    tutorial.self-signed
    Camera Has File    mine.der    certificate=self_signed
    Camera Has File    mine.key    key=self_signed
    Camera Starts    ${CURDIR}/camera/serve_one.py    cert=mine.der    key=mine.key
    Client Connects To Camera    verify=self_signed    server_name=camera.local
    Peer Should Have Verified The Camera

A Self-Signed Server Is Accepted By A Camera That Has Its Certificate
    [Tags]    tutorial.self-signed
    Camera Has File    own.der    certificate=own
    Network Has Server    tls    example.com    port=443    certificate=own
    Camera Does    s = required(ca='own.der')

Both Sides Verify Each Other With The Camera As Client
    [Tags]    tutorial.mutual
    Camera Has File    camera.der    certificate=camera
    Camera Has File    camera.key    key=camera
    Network Has Server    tls    example.com    port=443    certificate=example    verify=ca
    Camera Does    s = required(cert='camera.der', key='camera.key')    s.write(b'ping')    print(s.read(4))
    Camera Should Print    b'ping'
    Peer Is    example.com
    Peer Should Have Verified The Camera

A Camera Without A Certificate Is Refused
    [Tags]    tutorial.mutual
    Network Has Server    tls    example.com    port=443    certificate=example    verify=ca
    Camera Refuses    s = required()    s.write(b'ping')    s.read(4)
    Peer Is    example.com
    Peer Should Have Failed    peer did not return a certificate

Both Sides Verify Each Other With The Camera As Server
    [Tags]    tutorial.mutual
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    certificate=client    verify=ca    server_name=camera.local
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n

What omvsim certs Makes Serves A Client With A Certificate
    [Tags]    tutorial.mutual
    Omvsim Certs Makes    --server-name    camera.local
    Mpremote Runs    rtc    --set
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    verify=made_ca    certificate=made_client    server_name=camera.local
    Peer Should Have Verified The Camera
    Peer Should Have Received    hello\n

A Chain Of Two Authorities Is Verified
    [Tags]    tutorial.chain
    Network Has Server    tls    example.com    port=443    certificate=of_intermediate
    Camera Does    s = required()

A PEM File Becomes A DER File
    [Tags]    tutorial.pem-to-der
    ${pem}=    File Is On The Host    ca.pem    certificate=ca    format=pem
    Camera Does    import os    os.remove('ca.der')
    Omvsim Certs Converts    ${pem}
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    s = required(ca='ca.der')
