*** Settings ***
Documentation    get_ciphers() and set_ciphers().
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Variables ***
@{SUITES}    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
...    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
...    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
...    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
...    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
...    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
...    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
...    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256
...    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
...    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
...    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384
...    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
...    TLS_RSA_WITH_AES_128_CBC_SHA
...    TLS_RSA_WITH_AES_128_CBC_SHA256
...    TLS_RSA_WITH_AES_128_GCM_SHA256
...    TLS_RSA_WITH_AES_256_CBC_SHA
...    TLS_RSA_WITH_AES_256_CBC_SHA256
...    TLS_RSA_WITH_AES_256_GCM_SHA384


*** Test Cases ***
get_ciphers() Returns A List Of Strings
    [Tags]    ciphers.get
    Camera Does    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()    print(type(c), {type(n) for n in c})
    Camera Should Print    <class 'list'> {<class 'str'>}

Every Documented Suite Is In The List
    [Tags]    ciphers.get
    Camera Does    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    Camera Does    print(*sorted(ctx.get_ciphers()))
    Camera Should Print    ${{ ' '.join($SUITES) }}

The List Tells What Is Enabled
    [Tags]    ciphers.enabled
    Camera Does    ctx = context()    ctx.set_ciphers(['TLS_RSA_WITH_AES_128_GCM_SHA256'])
    Camera Evaluates    ctx.get_ciphers()    ['TLS_RSA_WITH_AES_128_GCM_SHA256']

set_ciphers() Limits What A Client Offers
    [Tags]    ciphers.set
    Network Has Server    tls    example.com    port=443    certificate=example_p256
    Camera Does    ctx = context()    ctx.set_ciphers(['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'])
    ...    s = ctx.wrap_socket(tcp())
    Peer Is    example.com
    Peer Should Have Been Offered    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256

A Server Without The Chosen Suite Is Refused
    [Tags]    ciphers.set
    Network Has Server    tls    example.com    port=443    certificate=example_p256    ciphers=ECDHE-ECDSA-AES256-GCM-SHA384
    Camera Does    ctx = context()    ctx.set_ciphers(['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'])
    Camera Raises    OSError    ctx.wrap_socket(tcp())

set_ciphers() Limits What A Server Takes
    [Tags]    ciphers.set
    Camera Starts    ${CURDIR}/camera/serve_with_ciphers.py    ciphers=${{['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256']}}    cert=server_p256.der    key=server_p256.key
    Client Connects To Camera    ciphers=ECDHE-ECDSA-AES256-GCM-SHA384    leave_ms=5000
    Nobody Should Have Met    client

Names Are IANA's
    [Tags]    ciphers.iana
    Camera Does    names = context().get_ciphers()    print([n for n in names if not n.startswith('TLS_') or '-' in n])
    Camera Should Print    []

A Name In IANA's Form Is Taken
    [Tags]    ciphers.iana
    Camera Does    context().set_ciphers(['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'])

A List Of Several Is Taken
    [Tags]    ciphers.list
    Network Has Server    tls    example.com    port=443    certificate=example_p256    ciphers=ECDHE-ECDSA-AES256-GCM-SHA384
    Camera Does    ctx = context()
    ...    ctx.set_ciphers(['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'])
    ...    s = ctx.wrap_socket(tcp())

A Text Is Not Taken
    [Tags]    ciphers.list
    Camera Raises    TypeError or OSError or ValueError    context().set_ciphers('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256')

A Tuple Of Texts Is Taken
    [Tags]    ciphers.list
    Camera Does    context().set_ciphers(('TLS_RSA_WITH_AES_128_GCM_SHA256',))

An Empty List Is Not Taken
    [Tags]    ciphers.list
    Camera Refuses    context().set_ciphers([])

An Unknown Suite Is Not Taken
    [Tags]    ciphers.list
    Camera Refuses    context().set_ciphers(['TLS_AES_128_GCM_SHA256'])

TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384    ECDHE-ECDSA-AES256-GCM-SHA384    example_p256

TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384    ECDHE-ECDSA-AES256-SHA384    example_p256

TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA    ECDHE-ECDSA-AES256-SHA    example_p256

TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256    ECDHE-ECDSA-AES128-GCM-SHA256    example_p256

TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256    ECDHE-ECDSA-AES128-SHA256    example_p256

TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA    ECDHE-ECDSA-AES128-SHA    example_p256

TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384    ECDHE-RSA-AES256-GCM-SHA384    example

TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384    ECDHE-RSA-AES256-SHA384    example

TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA    ECDHE-RSA-AES256-SHA    example

TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256    ECDHE-RSA-AES128-GCM-SHA256    example

TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256    ECDHE-RSA-AES128-SHA256    example

TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA    ECDHE-RSA-AES128-SHA    example

TLS_RSA_WITH_AES_256_GCM_SHA384 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_256_GCM_SHA384    AES256-GCM-SHA384    example

TLS_RSA_WITH_AES_256_CBC_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_256_CBC_SHA256    AES256-SHA256    example

TLS_RSA_WITH_AES_256_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_256_CBC_SHA    AES256-SHA    example

TLS_RSA_WITH_AES_128_GCM_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_128_GCM_SHA256    AES128-GCM-SHA256    example

TLS_RSA_WITH_AES_128_CBC_SHA256 Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_128_CBC_SHA256    AES128-SHA256    example

TLS_RSA_WITH_AES_128_CBC_SHA Is Negotiated
    [Tags]    ciphers.negotiated
    [Template]    Camera Agrees On
    TLS_RSA_WITH_AES_128_CBC_SHA    AES128-SHA    example


*** Keywords ***
Camera Agrees On
    [Documentation]    With a server that knows this suite only, by a camera that offers all of its own.
    [Arguments]    ${iana}    ${openssl}    ${certificate}
    Network Has Server    tls    example.com    port=443    certificate=${certificate}    ciphers=${openssl}
    Camera Does    s = required()    s.write(b'ping')    print(s.read(4), s.cipher())
    Camera Should Print    b'ping' ('${{ $iana.replace("_", "-") }}', 'TLSv1.2')
    Peer Is    example.com
    Peer Should Have    cipher    ${openssl}
