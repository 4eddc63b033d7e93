*** Settings ***
Documentation    TLS servers that break the protocol (RFC 5246), and a camera that is the client, with a time-out of 5 seconds. After each, a good server is reached.
...              Of OSError's numbers -30592 is a fatal alert of the peer, -30464 an unexpected message, -29440 a message that cannot be decoded, -29312 the end of the stream, -29184 an invalid record, -29056 a wrong tag, 104 a reset, 110 a time-out.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Run Keywords    A Good Server Is Reached    AND    Stop Camera
Test Tags        hostile-tls
Test Template    Camera Meets Servers


*** Test Cases ***
A Server That Behaves    got b'hello ping'    no

Fatal Alerts Of Every Kind In Every State
    raised OSError -30592    fatal_alert:0,1:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120
    raised OSError -30592    fatal_alert:2-6:10,20,21,22,30,40,41,42,43,44,45,46,47,48,49,50,51,60,70,71,80,86,90,100,110,111,112,113,114,115,120

Warnings Are Passed Over
    got b'hello ping'    warning_alert:0,3,6:90

Unexpected Messages In Every State
    raised OSError -29440    unexpected:0:0,1,2,4,11-16,20,99
    raised OSError -30464    unexpected:1:1,2,4,12-16,20,99
    raised OSError -30464    unexpected:2:1,2,4,11,16,20
    raised OSError -29440    unexpected:3:1,2,4,11,16,20
    raised OSError -30464    unexpected:4,5,6:1,2

A HelloRequest During The Handshake
    [Documentation]    RFC 5246 would have the client ignore it; Mbed TLS ends the handshake.
    raised OSError -29440    unexpected:0,3:0
    raised OSError -30464    unexpected:1,2,5:0

A HelloRequest Afterwards
    [Documentation]    The camera knows no renegotiation, and goes on.
    got b'hello ping'    unexpected:6:0    renegotiation

Messages That Are Missing
    raised OSError -29440    missing:0
    raised OSError -30464    missing:1,2,4,5
    raised OSError 110    missing:3
    raised OSError -110    missing:6

Messages That Come Twice
    raised OSError -30464    twice:0,1,3,5
    raised OSError -29440    twice:2
    raised OSError -29056    twice:4

The End Of The Stream In Every State
    raised OSError -29312    fin:0-5

The End Of The Stream Instead Of Data
    [Documentation]    Without a close_notify; read() takes it for the end of the data.
    got b''    fin:6

A Reset In Every State
    raised OSError 104    reset:0-5
    raised OSError -104    reset:6

Silence In Every State
    raised OSError 110    stall:0-5
    raised OSError -110    stall:6

A Heartbeat In Every State
    raised OSError -29184    heartbeat:0-6

A Wrong Version
    raised OSError -29184    record_version
    raised OSError -28288    hello_version

Forged Records
    raised OSError -29056    wrong_tag    wrong_tag_of_data

A Server With A CBC Suite    got b'hello ping'    cbc

Forged Records Of A CBC Suite
    [Documentation]    Mbed TLS tells nobody whether MAC or padding is wrong: both are INVALID_MAC.
    raised OSError -29056    wrong_mac    wrong_padding

A Wrong Finished
    raised OSError -28160    wrong_finished

A Key That Is No Point Of The Curve
    [Tags]    tenth
    raised OSError -19584    bad_point

A Wrong Signature
    [Tags]    tenth
    raised OSError -19968    bad_signature

Records Without Contents In The Handshake
    raised OSError -29184    empty_handshake_records

Records Without Contents Before Data
    [Documentation]    They are allowed; after two of them read() takes the stream for ended.
    got b''    empty_records

Records Of One Byte
    [Documentation]    They are allowed; Mbed TLS does not put a message's head together.
    raised OSError -29184    tiny_records

Records Of A Hundred Bytes    got b'hello ping'    small_records

Extensions That Nobody Asked For
    [Documentation]    RFC 5246 would have the client refuse them; Mbed TLS passes over them.
    got b'hello ping'    unknown_extension    duplicate_extension

Each Byte In A Segment Of Its Own    got b'hello ping'    byte_by_segment

A Record Of 20 kB
    [Documentation]    RFC 5246 section 6.2.3: at most 2^14 + 2048. Mbed TLS's mbedtls_ssl_fetch_input(): BAD_INPUT_DATA.
    [Template]    NONE
    Network Has Server    tls    large.example    port=9443    certificate=example_p256    greeting=x    size=20000    misbehave=oversize_record
    Camera Does    s = connect('large.example', 9443)
    Camera Raises    OSError    s.read(20000)
    Camera Should Raise    OSError    -28928
    Peer Should Have Misbehaved    large.example

A Server That Stops Reading
    [Documentation]    TCP's window closes; the time-out ends the write that waits for it.
    [Template]    NONE
    Network Has Server    tls    stuck.example    port=9443    certificate=example_p256    greeting=x    misbehave=stops_reading:6
    Camera Does    sock = socket.socket()    sock.settimeout(5)    sock.connect(socket.getaddrinfo('stuck.example', 9443)[0][-1])
    ...    s = context(ssl.CERT_REQUIRED, 'ca.der').wrap_socket(sock, server_hostname='example.com')
    Camera Raises    OSError    for _ in range(100): s.write(bytes(4096))
    Camera Should Raise    OSError    110
    Camera Does    sock.close()

A Byte A Second
    [Documentation]    Each byte comes before the time-out, so the handshake goes on and on.
    got b'hello ping'    byte_per_second

A Server That Closes Its Half    got b'hello '    half_close

A Server Without A close_notify
    got b'hello ping'    no_close_notify


*** Keywords ***
A Good Server Is Reached
    Camera Meets Servers    got b'hello ping'    no
