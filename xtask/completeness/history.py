"""Writes a history of commits, as `git fast-import` reads it; the argument says how many."""
import random
import sys

random.seed(1)
words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(3000)]


def line():
    return " ".join(random.choices(words, k=12))


files = {}
for commit in range(int(sys.argv[1])):
    print(f"commit refs/heads/main\ncommitter A <a@b> {1_700_000_000 + commit} +0000\ndata 1\nx")
    for number in random.sample(range(300), 4):
        lines = files.setdefault(number, [line() for _ in range(200)])
        for _ in range(5):
            lines[random.randrange(200)] = line()
        text = "\n".join(lines)
        print(f"M 100644 inline folder{number % 20}/file{number}\ndata {len(text)}\n{text}")
