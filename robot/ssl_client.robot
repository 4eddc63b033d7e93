*** Settings ***
Documentation    The ssl page's TLS client example, and what it says to servers it must not trust.
Resource         ssl_client.resource
Test Teardown    Stop Camera


*** Test Cases ***
A Valid Certificate Is Accepted
    Start Camera In    default
    Camera Runs    tls_client.py
    Camera Should Not Raise
    Camera Should Print    HTTP/1.1 200 OK
    Camera Should Print    Example Domain
    Network Should Have Seen    DHCP ACK
    Network Should Have Seen    NTP Version 3, server
    Network Should Have Seen    A example.com
    Network Should Have Seen    Client Hello
    Network Should Have Seen    GET / HTTP/1.0

A Certificate Of An Unknown Authority Is Refused
    Start Camera In    unknown_ca
    Camera Runs    tls_client.py
    Camera Should Raise    ValueError    The certificate is not correctly signed by the trusted CA
    Network Should Have Seen    Alert (Level: Fatal, Description: Unknown CA)
    Network Should Not Have Seen    GET / HTTP/1.0

A Certificate For Another Name Is Refused
    Start Camera In    wrong_name
    Camera Runs    tls_client.py
    Camera Should Raise    ValueError    Common Name (CN) does not match with the expected CN
    Network Should Not Have Seen    GET / HTTP/1.0

An Expired Certificate Is Refused
    Start Camera In    expired
    Camera Runs    tls_client.py
    Camera Should Raise    ValueError    The certificate validity has expired
    Network Should Have Seen    Alert (Level: Fatal, Description: Certificate Expired)
    Network Should Not Have Seen    GET / HTTP/1.0

Nothing Is Valid Before The Clock Is Set
    Start Camera In    default
    Camera Runs    ${CURDIR}/clock_not_set.py
    Camera Should Print    the year is 2015
    Camera Should Raise    ValueError    The certificate validity starts in the future
    Network Should Not Have Seen    NTP
