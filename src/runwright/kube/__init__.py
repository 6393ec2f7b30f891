"""The API-server side: connection, client, caches fed by watches, re-lists, and the Lease."""
