# asyncio's streams over TLS.
import asyncio

from helpers import context, ssl


async def main():
    ctx = context(ssl.CERT_REQUIRED, ca="ca.der")
    reader, writer = await asyncio.open_connection(
        "example.com", 443, ssl=ctx, server_hostname="example.com"
    )
    writer.write(b"over asyncio\n")
    await writer.drain()
    print(await reader.readline())
    writer.close()
    await writer.wait_closed()


asyncio.run(main())
