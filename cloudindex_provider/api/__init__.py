"""CloudIndex's REST API: a client whose decisions are pure functions. Knows no Airflow, no S3 and no state.

    client           the API's calls as methods: what everybody else uses
    build            every request as a value
    parse            decoded JSON to models
    models           what CloudIndex answers, and the one file part that a request is made of
    document_stream  the list of all documents, read as a stream and believed only when it is whole
    multipart        the body of an upload, of known length, as a stream
    limits           the bounds of one upload request, and packing files into requests
    file_names       what a server may make of the name of an uploaded file
    deletes          deletes of many documents: what a 404 proves, and whose fault a failure is
    transport        the HTTP: connections and the loop of attempts; alone imports httpx
    attempts         whether a request is sent again, and when
    network          what stands between this machine and the service: its proxy and its certificates
    proxy            which proxy leads there, by the extra or the environment
    tls              whom a connection trusts, and the certificate that it shows
    error_mapping    an error answer to the typed error
    connecting       how far an exchange came, and the error of one without a whole answer
    ratelimit        what headers say of rate limits, and a client's own pacer
    pace             the arithmetic of one budget of requests
    connection       a base URL and a header value from what a person wrote
    observer         who is told how requests fare
    redact           keeps secrets out of texts

May import ``errors``.
"""
