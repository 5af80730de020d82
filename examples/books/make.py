"""Make the example's two tables: invented readers with a taste for a few genres, and real titles.

python examples/books/make.py
"""

import csv
import random
from pathlib import Path

BOOKS = {
    "Mystery": ["The Hound of the Baskervilles", "The Moonstone", "The Big Sleep", "Murder on the Orient Express",
                "The Name of the Rose", "Gaudy Night", "The Maltese Falcon", "Rebecca"],
    "Science fiction": ["The War of the Worlds", "Dune", "The Left Hand of Darkness", "Solaris", "Neuromancer",
                        "The Time Machine", "Foundation", "The Dispossessed"],
    "Classics": ["Pride and Prejudice", "Middlemarch", "Great Expectations", "Madame Bovary", "Jane Eyre",
                 "The Brothers Karamazov", "Emma", "Moby-Dick"],
    "Fantasy": ["The Hobbit", "A Wizard of Earthsea", "The Once and Future King", "The Last Unicorn", "Stardust",
                "The Colour of Magic", "Watership Down", "The Neverending Story"],
    "Nature": ["Walden", "The Origin of Species", "Silent Spring", "The Peregrine", "A Sand County Almanac",
               "My First Summer in the Sierra", "The Living Mountain", "Pilgrim at Tinker Creek"],
}  # fmt: skip

if __name__ == "__main__":
    here = Path(__file__).parent
    draw = random.Random(7)
    titles = [(title, genre) for genre, titles in BOOKS.items() for title in titles]
    books = [(f"b{n:02d}", title, genre) for n, (title, genre) in enumerate(titles)]
    with (here / "books.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("book_id", "title", "genre"), *books])
    rows = []
    for reader in range(80):
        loved = set(draw.sample(list(BOOKS), 2))
        begin = 1_700_000_000 + draw.randrange(200 * 86_400)
        for n, (book, _, genre) in enumerate(draw.sample(books, draw.randrange(12, 30))):
            rating = draw.choice([4, 5, 5, 3]) if genre in loved else draw.choice([1, 2, 3, 4])
            rows.append((f"reader-{reader}", book, rating, begin + n * draw.randrange(3_600, 12 * 86_400)))
    with (here / "ratings.csv").open("w", newline="", encoding="utf-8") as file:
        rows.sort(key=lambda row: row[3])
        csv.writer(file).writerows([("user_id", "book_id", "rating", "timestamp"), *rows])
