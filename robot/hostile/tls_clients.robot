*** Settings ***
Documentation    TLS clients that break the protocol (RFC 5246), and a camera that is the server, with a time-out of 5 seconds. After each, a good client is served. For the numbers see tls_servers.robot.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Run Keywords    A Good Client Is Served    AND    Stop Camera
Test Tags        hostile-tls
Test Template    Camera Meets Clients


*** Test Cases ***
A Client That Behaves    got b'ping'    no

Fatal Alerts Of Every Kind Instead Of A ClientHello
    raised OSError -30592    fatal_alert:0:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120

Fatal Alerts In Every Other State
    raised OSError -30592    fatal_alert:1:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120
    raised OSError -30592    fatal_alert:2:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120
    raised OSError -30592    fatal_alert:3:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120
    raised OSError -30592    fatal_alert:4:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120

Warnings, From A Client
    got b'ping'    warning_alert:0,1,3,4:90

A Client That Closes Its Half    got b'ping'    half_close
A Client Without A close_notify    got b'ping'    no_close_notify

A Client That Stops Reading
    [Documentation]    TCP's window closes; the time-out ends the write that waits for it. What is unsent keeps lwIP's memory while the client is there: a next handshake loses its Certificate message, so no good client follows.
    [Template]    NONE
    [Teardown]    Stop Camera
    Camera Starts    ${CURDIR}/camera/write_on.py
    Client Calls Camera    name=stuck    send=ping    misbehave=stops_reading:4    hold_ms=60000    leave_ms=90000
    Camera Finishes    60
    Camera Should Raise    OSError    110
    Peer Should Have Misbehaved    stuck

A Client With A Wrong Signature
    [Template]    NONE
    The Camera Verifies Clients
    Client Calls Camera    name=forger    certificate=client_p256    misbehave=bad_signature    leave_ms=20000
    Camera Finishes    60
    Camera Should Raise    OSError    -19968
    Peer Should Have Misbehaved    forger
    Nobody Should Have Met    forger

A Client Of Our Own With A Certificate
    [Template]    NONE
    The Camera Verifies Clients
    Client Connects To Camera    name=honest    certificate=client_p256    misbehave=no
    Peer Should Have Received    hello\n
    Camera Finishes
    Camera Should Not Raise

A Client With A Chain
    [Template]    NONE
    The Camera Verifies Clients
    Client Connects To Camera    name=chained    certificate=client_of_intermediate
    Peer Should Have Received    hello\n
    Camera Finishes
    Camera Should Not Raise

A Client Without Its Intermediate
    [Template]    NONE
    The Camera Verifies Clients
    Client Calls Camera    name=short    certificate=client_without_intermediate    leave_ms=20000
    Camera Finishes    60
    Camera Should Raise    ValueError    not correctly signed by the trusted CA
    Nobody Should Have Met    short

Unexpected Messages In Every State, From A Client
    raised OSError -30464    unexpected:0:0,2,4,11-16,20,99
    raised OSError -30464    unexpected:1:0,1,2,20
    raised OSError -30464    unexpected:2:0,1,16
    raised OSError -30464    unexpected:3,4:0,16

A Second ClientHello Afterwards
    [Tags]    tenth
    [Documentation]    The camera knows no renegotiation, and goes on.
    got b'ping'    unexpected:4:1    renegotiation

Messages That Are Missing, From A Client
    raised OSError -30464    missing:1,2
    raised OSError 110    missing:0,3
    raised OSError -110    missing:4

Messages That Come Twice, From A Client
    raised OSError -30464    twice:0,1,3
    raised OSError -29056    twice:2

The End Of The Stream In Every State, From A Client
    raised OSError -29312    fin:1-3

The End Of The Stream At Once
    [Documentation]    It comes before accept(), which forgets it; the time-out ends the handshake.
    raised OSError 110    fin:0

The End Of The Stream Instead Of Data, From A Client
    got b''    fin:4

A Reset In Every State, From A Client
    raised OSError 104    reset:0-3
    raised OSError -104    reset:4

Silence In Every State, From A Client
    raised OSError 110    stall:0-3
    raised OSError -110    stall:4

A Heartbeat In Every State, From A Client
    raised OSError -29184    heartbeat:0-4

A Wrong Version, From A Client
    raised OSError -29184    record_version
    raised OSError -28288    hello_version

Forged Records, From A Client
    [Tags]    tenth
    raised OSError -29056    wrong_tag    wrong_tag_of_data

A Client With A CBC Suite    got b'ping'    cbc

Forged Records Of A CBC Suite, From A Client
    raised OSError -29056    wrong_mac    wrong_padding

A Wrong Finished, From A Client
    [Tags]    tenth
    raised OSError -28160    wrong_finished

A Key That Is No Point Of The Curve, From A Client
    raised OSError -29440    bad_point

Records Without Contents In The Handshake, From A Client
    raised OSError -29184    empty_handshake_records

Records Without Contents Before Data, From A Client
    [Documentation]    They are allowed; after two of them read() takes the stream for ended.
    got b''    empty_records

Records Of One Byte, From A Client
    [Documentation]    They are allowed; Mbed TLS does not put a message's head together.
    raised OSError -29184    tiny_records

Extensions Unknown And Twice    got b'ping'    unknown_extension    duplicate_extension
Each Byte In A Segment Of Its Own, From A Client    got b'ping'    byte_by_segment

A Byte A Second, From A Client
    [Documentation]    Each byte comes before the time-out, so the handshake goes on and on.
    got b'ping'    byte_per_second


*** Keywords ***
The Camera Verifies Clients
    Camera Starts    ${CURDIR}/../ssl/camera/serve_one.py    cert=server_p256.der    key=server_p256.key    mode=${2}    ca=ca.der

A Good Client Is Served
    Camera Does    gc.collect()
    Camera Meets Clients    got b'ping'    no
