"""An embedded CloudIndex for development, demo and tests. Never a part of what runs in production.

  The server
    __main__    the server as a process
    server      the application, its data directory and a uvicorn in a thread
    service     the state of one running server
    settings    every contradiction between the service's documents, as one switch each
    gate        around the API: request ids, keys, rate limits, sizes, and the log of requests
    app         the endpoints of the public API
    control     the endpoints by which a demo or a test in another process steers the server

  What it does
    uploads     reads an upload as a stream
    names       what the service makes of a file name
    committing  which files of an upload are taken
    documents   the documents in the store
    store       the data directory: SQLite and files
    processing  turns uploads into searchable chunks, in a thread
    extract     a file's bytes to text and chunks
    filetypes   what the service says about file types
    query       the body of a query, checked
    search      full text search
    render      the JSON of answers, in the dialect that the settings ask for
    ratelimit   rate limits and their headers
    errors      the one refusal

  What goes wrong on purpose
    faults      which fault meets a request
    performing  carries a request out, together with its fault
    responses   answers that a sound server never gives

It shares nothing with the client that it tests: it imports only itself, and only tests and programs import it.
"""
