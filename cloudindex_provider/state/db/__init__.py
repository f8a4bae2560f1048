"""The database under the state: SQLite for one machine, Postgres for several.

    address      where it is, and what gives the password of each new connection
    engines      how each driver connects, begins and gives up a connection
    database     opening, checking, migrating, and transactions
    tables       today's tables
    migrations   how a state came to them, version by version: all DDL of the project, frozen
    first_migrations  the first four of them, and what one is
    driver       statements given to the driver as it takes them, for thousands of rows
    leases       named locks with an end
    sqlite_file  the state's file, looked at before SQLite opens it

All but ``tables`` and the migrations know nothing of keys and runs. May import ``errors``, ``state.conditions`` and
``state.records``.
"""
