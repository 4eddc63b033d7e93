*** Settings ***
Documentation    Networks that lose, delay, duplicate, reorder, damage and lie. After each, a good connection works.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera
Test Tags        hostile-network
Test Template    The Camera Gets Through


*** Test Cases ***
A Twentieth Of All Frames Is Lost    loss    rate=0.05

A Fifth Of All Frames Is Lost
    [Tags]    tenth
    loss    rate=0.2

Frames Are Lost In Bursts    burst_loss    rate=0.1    burst=4
Frames Are Late    delay    delay_ms=200
Frames Are Late By Chance    delay    delay_ms=20    jitter_ms=100
Half Of The Frames Come Twice    duplicate    rate=0.5    delay_ms=1
Frames Overtake Each Other    reorder    rate=0.3    delay_ms=10

Bits Are Turned
    [Tags]    tenth
    bit_errors    rate=0.05

Frames Are Cut    truncate    rate=0.05
A Line Of 64 kbit/s    rate_limit    kbit_s=64    size=6000

Large Packets Vanish
    [Documentation]    The camera's segments hold 800 bytes at most, so a black hole above 900 does no harm.
    [Template]    NONE
    Network Has Server    tls    example.com    port=443    certificate=example
    Network Suffers    mtu_black_hole    size=900
    Camera Runs    ${CURDIR}/camera/patient_client.py    limit_s=200
    Camera Should Print    b'ping' True\nheap 0
    Ping Is Lost    ${1000}
    Network Should Have Suffered

Packets Of 600 Bytes Vanish
    [Documentation]    Nothing tells the camera; its own time-out ends the handshake.
    [Template]    The Camera Gives Up
    mtu_black_hole    size=600

The Cable Is Out For Three Seconds
    [Documentation]    lwIP knows no way without a link; the port looks at it once a second.
    [Template]    NONE
    Network Suffers    link_down    until_ms=3000
    Time Passes    2
    Camera Raises    OSError    tcp('162.159.200.1', 123)
    Camera Should Raise    OSError    EHOSTUNREACH
    Time Passes    10
    A Good Connection Works

Nothing Comes Through
    [Template]    The Camera Gives Up
    loss    rate=1.0

Answers Alone Are Lost
    [Template]    The Camera Gives Up
    loss    rate=1.0    direction=to_camera

Somebody Claims The Gateway's Address
    [Documentation]    Names cannot be resolved until lwIP forgets the lie, after five minutes.
    [Template]    NONE
    Network Suffers    arp_poison    address=192.168.1.1    until_ms=3000
    Time Passes    3
    Camera Raises    OSError    socket.getaddrinfo('pool.ntp.org', 123)
    Time Passes    310
    A Good Connection Works

A DHCP Server That Answers Late
    [Template]    NONE
    Camera Does    import network    lan = network.LAN()    lan.active(False)
    Network Rule    match=UDP.sport == 67    action=hold    delay_ms=3000
    Camera Does    lan.active(True)
    Time Passes    15
    Camera Evaluates    lan.isconnected()    True
    A Good Connection Works

A DHCP Server That Never Answers
    [Template]    NONE
    Camera Does    import network    lan = network.LAN()    lan.active(False)
    Network Rule    match=UDP.sport == 67    action=drop    until_ms=10000
    Camera Does    lan.active(True)
    Time Passes    5
    Camera Raises    OSError    tcp('pool.ntp.org', 123)
    Time Passes    60
    A Good Connection Works

A DHCP Server That Gives Another Address With The Next Lease
    [Documentation]    lwIP looks at its lease once a minute.
    [Template]    NONE
    [Setup]    Start Camera    scenario=${CURDIR}${/}short_lease.toml
    Camera Does    from helpers import *    import network    lan = network.LAN()
    Camera Evaluates    lan.ipconfig('addr4')[0]    '192.168.1.100'
    Network Rule    match=BOOTP.op == 2    action=rewrite    set=${{ {'BOOTP.yiaddr': '192.168.1.150'} }}
    Time Passes    125
    Camera Evaluates    lan.ipconfig('addr4')[0]    '192.168.1.150'
    Time Passes    60
    A Good Connection Works

A DNS Server That Times Out
    [Template]    NONE
    Network Rule    match=UDP.sport == 53    action=drop    until_ms=60000
    Camera Raises    OSError    socket.getaddrinfo('pool.ntp.org', 123)
    Time Passes    60
    A Good Connection Works

A DNS Server That Lies
    [Tags]    tenth
    [Documentation]    The certificate shows it: whoever verifies is not fooled.
    [Template]    NONE
    Network Has Server    tls    example.com    port=443    certificate=example
    Network Has Server    tls    example.com    address=192.168.1.66    port=443    certificate=own
    Camera Evaluates    socket.getaddrinfo('example.com', 443)[0][-1][0]    '192.168.1.66'
    Camera Refuses    required()
    Nobody Should Have Met    example.com
    A Good Connection Works

A DNS Server That Truncates
    [Template]    NONE
    Network Rule    match=DNS.qr == 1    action=rewrite    set=${{ {'DNS.tc': '1', 'DNS.ancount': '0'} }}    until_ms=30000
    Camera Raises    OSError    socket.getaddrinfo('pool.ntp.org', 123)
    Time Passes    30
    A Good Connection Works

A Time Server That Is Ten Years Behind
    [Documentation]    With the clock set by it, no certificate is valid.
    [Template]    NONE
    Network Has Server    ntp    late.example    address=192.168.1.60    offset_s=-315360000
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    import ntptime    ntptime.host = 'late.example'    ntptime.settime()
    Camera Evaluates    time.gmtime()[0]    2016
    Camera Refuses    required()
    Camera Does    ntptime.host = 'pool.ntp.org'    ntptime.settime()    required().close()


*** Keywords ***
The Camera Gets Through
    [Arguments]    ${kind}    &{options}
    Network Has Server    tls    example.com    port=443    certificate=example
    Network Suffers    ${kind}    &{options}
    Camera Runs    ${CURDIR}/camera/patient_client.py    limit_s=200
    Camera Should Print    b'ping' True\nheap 0
    Network Should Have Suffered

The Camera Gives Up
    [Arguments]    ${kind}    &{options}
    Network Has Server    tls    example.com    port=443    certificate=example
    ${options}=    Evaluate    {'until_ms': 60000, **$options}
    Network Suffers    ${kind}    &{options}
    Camera Runs    ${CURDIR}/camera/patient_client.py    limit_s=200
    Camera Output Should Hold    raised
    Heap Should Be As Before
    Network Should Have Suffered
    Time Passes    60
    A Good Connection Works

A Good Connection Works
    Network Has Server    tls    good.example    port=443    certificate=example
    Camera Does    s = required('good.example', hostname='example.com')    s.write(b'ping')    print(s.read(4))
    Camera Should Print    b'ping'
