"""Remote procedure calls (gRPC): the same models, batches, log and keys as over HTTP.

    answered  bytes of a call ──> message ──> handler ──> message or a prediction to be made
    server    ports, limits, TLS, the way out
    inference, predict, health   the services; their messages stand in the .proto files

Imported only when `[serve] grpc_port` is set; needs the extra `grpc`.
"""
