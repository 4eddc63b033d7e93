*** Settings ***
Documentation    DTLS servers that lose, cut, reverse, repeat and forge what they send (RFC 6347), and a camera that is the client. After each, a good server is reached.
Resource         ../camera.resource
Test Setup       Start The Camera
Test Teardown    Stop Camera
Test Tags        hostile-dtls
Test Template    The Client Talks To A Server With


*** Test Cases ***
A Server Without Cookies    no_hello_verify
A Server With A Cookie Of 255 Bytes    long_cookie
A Server Whose Flights Are Lost    lost_flight
A Server Whose First Datagrams Are Lost    lost_datagram
A Server Whose Flights Come In Reverse    reversed_flight
A Server That Cuts Its Messages    small_fragments
A Server Whose Fragments Come In Reverse    reversed_fragments

A Server Whose Fragments Overlap
    [Tags]    tenth
    overlapping_fragments

A Server That Sends Flights In One Datagram    single_datagram
A Server Whose Datagrams Come Twice    repeated_datagrams
A Server Whose Data Is Replayed    replayed_data
A Server With Copies In A Wrong Epoch    wrong_epoch
A Server Whose Finished Comes Early    early_finished
A Server With Forged Records    wrong_tag
A Server With Noise Before Each Datagram    garbage

A Server Whose Fragments Contradict Each Other
    [Template]    The Client Refuses A Server With
    conflicting_fragments

A Server Whose Finished Is Wrong
    [Template]    The Client Refuses A Server With
    wrong_finished

A Server With Messages Of 16 MiB
    [Template]    The Client Refuses A Server With
    huge_length


*** Keywords ***
The Client Talks To A Server With
    [Arguments]    ${misbehaviour}
    The Camera Calls A Server With    ${misbehaviour}
    Camera Should Print    got b'ping' and then None\nheap 0
    Peer Should Have Misbehaved    ${misbehaviour}.example
    The Camera Calls A Server With    no
    Camera Should Print    got b'ping' and then None\nheap 0

The Client Refuses A Server With
    [Arguments]    ${misbehaviour}
    The Camera Calls A Server With    ${misbehaviour}
    Camera Output Should Hold    raised
    Heap Should Be As Before
    Peer Should Have Misbehaved    ${misbehaviour}.example
    The Camera Calls A Server With    no
    Camera Should Print    got b'ping' and then None\nheap 0

The Camera Calls A Server With
    [Arguments]    ${misbehaviour}
    Network Has Server    dtls    ${misbehaviour}.example    certificate=dtls_p256    misbehave=${misbehaviour}
    Camera Runs    ${CURDIR}/camera/dtls_client.py    limit_s=90    server=${misbehaviour}.example
