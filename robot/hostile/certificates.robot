*** Settings ***
Documentation    Servers with certificates of all kinds, good and bad (RFC 5280, RFC 6125), and a camera that verifies.
Resource         ../camera.resource
Test Setup       Start Camera    scenario=${CURDIR}${/}certificates.toml
Test Teardown    Stop Camera
Test Tags        hostile-certificate


*** Test Cases ***
Chains Of One To Six Are Verified
    [Template]    The Camera Accepts
    chain1    chain2    chain3    chain4    chain5    chain6

Certificates In The Wrong Order
    [Documentation]    RFC 5246 demands the order; Mbed TLS looks for an issuer further on only.
    [Template]    The Camera Refuses
    not correctly signed by the trusted CA    wrong_order

The Root Is Sent, Too
    [Template]    The Camera Accepts
    root_too

A Missing Intermediate
    [Tags]    tenth
    [Template]    The Camera Refuses
    not correctly signed by the trusted CA    missing

An Expired Intermediate
    [Template]    The Camera Refuses
    validity has expired    below_expired

An Issuer That Is No Authority
    [Template]    The Camera Refuses
    not correctly signed by the trusted CA    below_leaf

A Signature By Another Key
    [Template]    The Camera Refuses
    not correctly signed by the trusted CA    forged

A Name Outside The Issuer's Constraints
    [Documentation]    Mbed TLS knows no name constraints, and refuses such an issuer for its critical extension.
    [Template]    The Camera Refuses
    ${EMPTY}    outside_constraints

A Small RSA Key
    [Documentation]    Mbed TLS's default profile wants 2048 bits.
    [Template]    The Camera Refuses
    signed with an unacceptable key    small_rsa

Names That Fit
    [Template]    The Camera Accepts
    many_names    wildcard    upper_case

Names That Do Not Fit
    [Template]    The Camera Refuses
    does not match with the expected CN    wildcard_alone    wildcard_inside    other_name    common_name_with_null

A Certificate Of 12 kB
    [Template]    The Camera Accepts
    huge


*** Keywords ***
The Camera Accepts
    [Arguments]    @{names}
    FOR    ${name}    IN    @{names}
        Network Has Server    tls    ${name}.server    port=443    certificate=${name}
        Camera Runs    ${CURDIR}/camera/verify.py    server=${name}.server
        Camera Should Print    got b'ping'\nheap 0
    END

The Camera Refuses
    [Arguments]    ${text}    @{names}
    FOR    ${name}    IN    @{names}
        Network Has Server    tls    ${name}.server    port=443    certificate=${name}    ciphers=ALL:@SECLEVEL=0
        Camera Runs    ${CURDIR}/camera/verify.py    server=${name}.server
        Camera Output Should Hold    raised
        Camera Output Should Hold    ${text}
        Heap Should Be As Before
        Nobody Should Have Met    ${name}.server
    END
