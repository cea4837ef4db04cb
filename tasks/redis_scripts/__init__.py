"""What lives in Redis: the work queue, the holds on targets and the outbox. The only importer of `redis`.

Every operation is one Lua script and one round trip, so it happens wholly or not at all. Nothing here is the only
record of anything: all of it can be rebuilt from the API server.
"""
