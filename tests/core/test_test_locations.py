"""A failed test is found by what each runner's report says of it."""

from xml.etree import ElementTree as Xml

import pytest

from abreast.core.reports.test_locations import find_location

FILES = {
    "web/tests/test_cart.py", "web/src/cart.test.ts", "web/src/cart.ts", "web/pkg/cart/cart_test.go", "web/spec/cart_spec.rb",
    "web/src/test/java/com/shop/CartTest.java", "web/tests/CartTest.php", "web/node_modules/jest/index.js", "tests/test_cart.py",
}  # fmt: skip
ROOT = "/srv/shop/gates/test/checkout"


@pytest.mark.parametrize(
    ("attributes", "text", "place"),
    [
        ({"classname": "tests.test_cart"}, "assert 3 == 4\n\ntests/test_cart.py:12: AssertionError", ("web/tests/test_cart.py", 12)),
        ({"file": "tests/test_cart.py", "line": "9"}, "no place", ("web/tests/test_cart.py", 9)),
        ({"classname": "a"}, f'File "{ROOT}/web/tests/test_cart.py", line 4, in test', ("web/tests/test_cart.py", 4)),
        ({}, f"at Object.<anonymous> ({ROOT}/web/node_modules/jest/index.js:1:2)\n at ({ROOT}/web/src/cart.ts:5:7)", ("web/src/cart.ts", 5)),
        ({"file": "src/cart.test.ts"}, "at src/cart.ts:5:7\nat src/cart.test.ts:8:3", ("web/src/cart.test.ts", 8)),
        ({"classname": "src/cart.test.ts"}, "Error: 3\n at src/cart.test.ts:8:3", ("web/src/cart.test.ts", 8)),
        ({"classname": "src/cart.test.ts"}, "Error: 3", ("web/src/cart.test.ts", 0)),
        ({"classname": "example.com/shop/pkg/cart"}, "    cart_test.go:21: got 3", ("web/pkg/cart/cart_test.go", 21)),
        ({"file": "./spec/cart_spec.rb"}, "./spec/cart_spec.rb:3:in 'block'", ("web/spec/cart_spec.rb", 3)),
        ({"classname": "com.shop.CartTest"}, "at com.shop.CartTest.total(CartTest.java:31)", ("web/src/test/java/com/shop/CartTest.java", 31)),
        ({"file": f"{ROOT}/web/tests/CartTest.php", "line": "14"}, "Failed asserting", ("web/tests/CartTest.php", 14)),
        ({}, f"TestContext.<anonymous> (file://{ROOT}/web/src/cart.test.ts:5:10)", ("web/src/cart.test.ts", 5)),
        ({"file": "/usr/lib/python3/x.py"}, "/usr/lib/python3/x.py:1: Error", ("", 0)),
        ({"file": "../../etc/passwd"}, "../../etc/passwd.txt:1", ("", 0)),
        ({}, "connect ECONNREFUSED 127.0.0.1:5432", ("", 0)),
    ],
)  # fmt: skip
def test_places(attributes: dict[str, str], text: str, place: tuple[str, int]) -> None:
    case = Xml.Element("testcase", attributes)
    assert find_location(case, text, (ROOT,), "web", FILES.__contains__) == place
