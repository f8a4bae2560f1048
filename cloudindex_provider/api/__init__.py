"""CloudIndex's REST API: a client whose decisions are pure functions. Knows no Airflow, no S3 and no state.

    client           the API's calls as methods: what everybody else uses
    build            every request as a value
    parse            decoded JSON to models
    models           what CloudIndex answers, and the one file part that a request is made of
    document_stream  the list of all documents, read as a stream and believed only when it is whole
    multipart        the body of an upload, of known length, as a stream
    limits           the bounds of one upload request, and packing files into requests
    transport        the HTTP: connections and the loop of attempts; alone imports httpx
    attempts         whether a request is sent again, and when
    error_mapping    an error answer or a failed connection to the typed error
    ratelimit        what headers say of rate limits, and a client's own pacer
    pace             the arithmetic of one budget of requests
    connection       a base URL and a header value from what a person wrote
    redact           keeps secrets out of texts

May import ``errors``.
"""
