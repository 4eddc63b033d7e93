*** Settings ***
Documentation    Bugs from the field: certificates, keys and names. Those that are open show what the firmware does today.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera


*** Test Cases ***
A Clock Before The Certificate Says Nothing But -9984
    [Documentation]    Mended in 1.22: the error has a text.
    [Tags]    micropython-10832
    Network Has Server    tls    example.com    port=443    certificate=example
    Camera Does    set_clock(2015)
    Camera Raises    ValueError    required()
    Camera Should Raise    ValueError    The certificate validity starts in the future

Without SNI A Server Answers With An Alert
    [Documentation]    No bug of the camera: server_hostname has to be given.
    [Tags]    micropython-6468
    Network Has Server    tls    example.com    port=443    sni=${{ {'example.com': 'example'} }}
    Camera Raises    OSError    connect(hostname=None)
    Camera Should Raise    OSError    -30592
    Camera Does    s = connect()

A Key That Was Read From A File Is Invalid
    [Documentation]    Mended in 1.24: the length was off by one.
    [Tags]    micropython-14371    micropython-15674
    Camera Does    with open('server.key', 'rb') as f: key = f.read()    server_context(open('server.der', 'rb').read(), key)

A CA Bundle In PEM Is Unusable
    [Documentation]    Open: neither PEM nor several certificates.
    [Tags]    micropython-19423
    Camera Has File    ca.pem    certificate=ca    format=pem
    Camera Raises    ValueError    context(ca='ca.pem')
    Camera Should Raise    ValueError    invalid cert

A Certificate In Several Records Is Not Understood
    [Documentation]    Mended in Mbed TLS 3.6.3: handshake messages are put together again.
    [Tags]    mbedtls-9269    mbedtls-1840
    Network Has Server    tls    example.com    port=443    certificate=of_intermediate    record_size=256
    Camera Does    s = required()
