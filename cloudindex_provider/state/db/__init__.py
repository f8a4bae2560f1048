"""The database under the state: SQLite for one machine, Postgres for several.

    database     opening, checking, migrating, and transactions
    tables       the tables and their migrations: all DDL of the project
    driver       statements given to the driver as it takes them, for thousands of rows
    leases       named locks with an end
    sqlite_file  the state's file, looked at before SQLite opens it

All but ``tables`` know nothing of keys and runs. May import ``errors``, ``state.conditions`` and ``state.records``.
"""
