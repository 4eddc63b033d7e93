# An asyncio server over TLS that answers a line.
import asyncio

from helpers import server_context


async def serve(reader, writer):
    line = await reader.readline()
    writer.write(b"you said " + line)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 8443, ssl=server_context())
    await server.wait_closed()


asyncio.run(main())
