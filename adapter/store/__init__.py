"""What is accepted stays: pages, alerts, calls and attempts in one database.

`store` opens it and runs transactions, `writer` commits them in groups, `sqlite` is what the
embedded engine needs, `migrating` brings the schema up to date. `session` is all SQL, by concern:
`inbox` takes in webhooks, `outbox` says whom to call with which words, `attempts` claims and
settles, `views` looks, `housekeeping` forgets. `schema` has the tables, `rows` turns rows into
records and back. `checking` and `transfer` look after a whole database: is it well, and how does
all of it get into another one.
"""
