"""What every service of the shop shares: a small HTTP server and client on asyncio and h11.

Each service listens on HOST:PORT, answers /healthz, keeps connections alive, and on SIGTERM finishes what it has begun before
it leaves. Set ABRUPT=1 to leave at once instead, as a badly behaved program does.
"""
