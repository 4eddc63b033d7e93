*** Settings ***
Documentation    verify_mode, the clock it depends on, and verification in both roles.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
verify_mode Is What Was Set
    [Tags]    verify-mode.get-set
    Camera Does    ctx = context()    modes = []
    ...    for m in (ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL, ssl.CERT_NONE):
    ...    ${SPACE * 4}ctx.verify_mode = m; modes.append(ctx.verify_mode == m)
    ...    print(modes)
    Camera Should Print    [True, True, True]

verify_mode Takes Effect
    [Tags]    verify-mode.get-set
    An Example Server    of_other_ca
    Camera Does    ctx = context(ca='ca.der')    s = ctx.wrap_socket(tcp(), server_hostname='example.com')
    ...    ctx.verify_mode = ssl.CERT_REQUIRED
    Camera Refuses    ctx.wrap_socket(tcp(), server_hostname='example.com')

A Text Is No verify_mode
    [Tags]    verify-mode.values
    Camera Raises    TypeError    context('x')

Three Is No verify_mode
    [Tags]    verify-mode.values
    Camera Raises    ValueError or OSError    context(3)

A Negative Number Is No verify_mode
    [Tags]    verify-mode.values
    Camera Raises    ValueError or OSError    context(-1)

A Clock Inside The Dates Accepts
    [Tags]    verify-mode.clock
    An Example Server    expired
    Camera Does    set_clock(2026, 5, 1)    s = required()

A Clock Before The Dates Refuses
    [Tags]    verify-mode.clock
    An Example Server    example
    Camera Does    set_clock(2019)
    Camera Refuses    required()
    Camera Should Raise    OSError or ValueError    validity starts in the future

A Clock After The Dates Refuses
    [Tags]    verify-mode.clock
    An Example Server    example
    Camera Does    set_clock(2051)
    Camera Refuses    required()
    Camera Should Raise    OSError or ValueError    validity has expired

The Dates Of The CA Count Too
    [Tags]    verify-mode.clock
    An Example Server    of_expired_ca
    Camera Has File    expired_ca.der    certificate=expired_ca
    Camera Refuses    required(ca='expired_ca.der')
    Camera Does    set_clock(2026, 5, 1)    s = required(ca='expired_ca.der')

Without Verification The Clock Does Not Matter
    [Tags]    verify-mode.clock
    An Example Server    example
    Camera Does    set_clock(2015)    s = connect()

mpremote rtc --set Sets The Clock
    [Tags]    verify-mode.mpremote
    An Example Server    example
    Camera Does    set_clock(2015)
    Mpremote Runs    rtc    --set
    Camera Clock Should Be That Of The Host
    Camera Does    from helpers import *    s = required()

A Client That Verifies Has To Name The Server
    [Tags]    verify-mode.hostname
    An Example Server    example
    Camera Refuses    required(hostname=None)
    Conversation Should Not Hold    ClientHello

An Empty Name Is No Name
    [Tags]    verify-mode.hostname
    An Example Server    example
    Camera Refuses    required(hostname='')
    Nobody Should Have Met    example.com

A Server That Verifies Need Not Name Anybody
    [Tags]    verify-mode.hostname
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    certificate=client    verify=ca
    Peer Should Have Received    hello\n

A Server That Verifies Refuses A Client Of Another Authority
    [Tags]    verify-mode.server
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    certificate=client_of_other_ca    leave_ms=5000
    Camera Finishes
    Camera Should Raise    OSError or ValueError
    Peer Should Have Received    ${EMPTY}

A Server That Verifies Refuses A Client Without A Certificate
    [Tags]    verify-mode.server
    Camera Starts    ${CURDIR}/camera/serve_one.py    mode=${2}    ca=ca.der
    Client Connects To Camera    leave_ms=5000
    Camera Finishes
    Camera Should Raise    OSError or ValueError
    Peer Should Have Received    ${EMPTY}

A Server That Verifies Nobody Asks For No Certificate
    [Tags]    verify-mode.server
    Camera Starts    ${CURDIR}/camera/serve_one.py
    Client Connects To Camera    certificate=client
    Peer Should Have Received    hello\n
    Conversation Should Not Hold    CertificateRequest


*** Keywords ***
An Example Server
    [Arguments]    ${certificate}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}
