"""A repository that has what the examples of abreast.yml in the docs name: their commands, folders and files."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page_reader import VERSION, Reader
from python_programs import install_programs
from sample_project import APP_SOURCE, free_ports, require_programs

TOOLS = ("pytest==9.2.0", "pytest-cov==7.1.0", "ruff==0.17.5", "mypy==2.4.1")
BUILD = """const fs = require("fs");
for (const folder of ["dist", "frontend/dist"]) {
  fs.mkdirSync(folder, {recursive: true});
  fs.writeFileSync(`${folder}/index.html`, JSON.stringify({commit: process.env.ABREAST_COMMIT}));
}
"""
TEST = (
    "mkdir -p coverage && node --test --experimental-test-coverage --test-reporter=lcov"
    " --test-reporter-destination=coverage/lcov.info"
)
SCRIPTS = {"build": "node build.js", "test": TEST}
PRICES = "def total(prices: list[int]) -> int:\n    return sum(prices)\n"
FILES = {
    "app/__init__.py": "",
    "app/__main__.py": f"# ruff: noqa\n{APP_SOURCE}",
    "app/prices.py": PRICES,
    "app/emails.py": "import time\n\nprint('sending', flush=True)\ntime.sleep(600)\n",
    "app/queue_check.py": "",
    "app/report.py": "print('sold 7')\n",
    "app/warm_cache.py": "import os\n\nprint('warm for', os.environ['ABREAST_RELEASE'])\n",
    "api/shop/__main__.py": f"# ruff: noqa\n{APP_SOURCE}",
    "api/requirements.txt": "iniconfig==2.1.0\n",
    "src/prices.py": PRICES,
    "test_prices.py": "from app.prices import total\n\n\ndef test_total() -> None:\n    assert total([3, 4]) == 7\n",
    "public/index.html": '{"commit": "public"}',
    "backend/migrations/001_orders.sql": "CREATE TABLE orders (id integer PRIMARY KEY, product text NOT NULL);\n",
    "build.js": BUILD,
    "price.js": "exports.total = (prices) => prices.reduce((sum, price) => sum + price, 0);\n",
    "price.test.js": 'require("node:assert").equal(require("./price.js").total([3, 4]), 7);\n',
    "package.json": json.dumps({"name": "storefront", "version": "1.0.0", "scripts": SCRIPTS}),
    "package-lock.json": json.dumps(
        {"name": "storefront", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "storefront"}}}
    ),
}


class StorefrontRepository(Reader):
    """Someone who writes an example into this repository, and deploys it to this machine."""

    def __init__(self, folder: Path) -> None:
        """Write what the examples name, and have `python`, pytest, ruff and mypy on the PATH."""
        require_programs("node", "npm")
        super().__init__(folder)
        self.ports: dict[tuple[str, str], int] = {}
        for name, text in FILES.items():
            self.write(name, text)
        self.write(".gitignore", ".abreast\nnode_modules\n")
        self.path = os.pathsep.join((str(install_programs("storefront", *TOOLS)), os.environ["PATH"]))
        self.variables = {"PATH": self.path}

    def follow(self, shown: dict[str, Any]) -> None:
        """Take an example as it is, but for this machine's ports and Python, and for how long one waits."""
        self.config = {"project": "storefront", **shown}
        for service in self.config["services"].values():
            if "python" in service:
                service["python"] = VERSION
        web = [name for name, one in self.config["services"].items() if not {"type", "schedule"} & one.keys()]
        for environment, settings in self.config["environments"].items():
            settings["settle"] = "300ms"
            for name, port in zip(web, free_ports(len(web)), strict=True):
                settings.setdefault(name, {})["local"] = {"port": port}
                self.ports[environment, name] = port
        self.commit()

    def run(
        self, *arguments: str, code: int | None = 0, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return super().run(*arguments, code=code, variables={**self.variables, **(variables or {})})

    def down(self) -> None:
        for environment in self.config["environments"]:
            self.run("down", "--env", environment, "--yes", code=None)
        super().down()
