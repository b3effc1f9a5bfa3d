"""A static site by the local router, and by nginx."""

from pathlib import Path

from abreast.core.site_rules.rules import SiteRules
from abreast.platforms.local.router.routing_table import Listener, Site
from abreast.platforms.local.router.static_site import install_site
from benchmarks.traffic import AbreastProxy, Proxy

PAGE = "<!doctype html><title>Shop</title>" + "<p>An order can be returned within 30 days.</p>" * 40


def _write_site(folder: Path) -> Path:
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    return folder


class AbreastSite(AbreastProxy):
    """A site without rules."""

    async def start(self) -> None:
        await self.start_router()
        site = self.folder / "site"
        install_site(_write_site(self.folder / "www"), SiteRules(), "a1b2c3", None, site)
        await self.router.change(
            lambda table: table.with_listener("web", Listener(self.front_port)).with_candidate("web", Site("w1", site))
        )
        await self.router.change(lambda table: table.with_live({"web": "w1"}))


class NginxSite(Proxy):
    name, executable = "nginx", "nginx"

    async def start(self) -> None:
        _write_site(self.folder / "www")
        temporary = " ".join(
            f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            "user root; master_process off; pid nginx.pid; error_log error.log; events {worker_connections 4096;}\n"
            f"http {{types {{text/html html;}} access_log off; keepalive_requests 1000000000; {temporary}\n"
            f"server {{listen 127.0.0.1:{self.front_port}; root www; add_header cache-control no-cache;\n"
            "add_header x-content-type-options nosniff; add_header vary accept-encoding;}}\n"
        )
        self.spawn("nginx", "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;")

    async def switch_to(self, backend: int) -> None:
        raise NotImplementedError("it has one site")
