-- irreversible: without them there is no shop
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL);
INSERT INTO products (name, price) VALUES ('Teapot', 2450), ('Cup', 890), ('Green tea, 100 g', 1200);
CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES products (id), at TEXT NOT NULL);
