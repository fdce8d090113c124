"""JSON and SQLite, for as many seconds as the argument says."""
import json
import sqlite3
import sys
import time

until = time.monotonic() + float(sys.argv[1])
rounds = 0
while time.monotonic() < until:
    items = [{"id": i, "name": f"item {i}", "tags": ["a", "b", str(i)], "price": i * 1.5} for i in range(2000)]
    assert json.loads(json.dumps(items)) == items
    base = sqlite3.connect(":memory:")
    base.execute("create table item(id integer primary key, text)")
    base.executemany("insert into item values(?, ?)", [(i, "x" * i) for i in range(500)])
    base.execute("select text, sum(id) from item group by length(text) / 10 order by 2").fetchall()
    base.close()
    rounds += 1
print(rounds, "rounds")
