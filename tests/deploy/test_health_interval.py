"""How often a service is asked for its health is what abreast.yml says."""

import urllib.request

from sample_project import SampleProject, eventually

COUNTS = (
    '    with open(os.environ["ABREAST_DATA"] + "/probes", "a") as file:\n        file.write("x")\n    return 200, {}\n'
)


def probes(project: SampleProject) -> int:
    return len((project.folder / ".abreast" / "local" / "local" / "data" / "backend" / "probes").read_text())


def test_a_candidate_and_the_watch_keep_to_the_interval(project: SampleProject) -> None:
    project.config["environments"]["local"] |= {"settle": "4s"}
    project.config["environments"]["local"]["backend"]["health"] = {"interval": "2s"}
    project.commit("Count", app_py=project.app_source(COUNTS))
    project.deploy()
    assert 2 <= probes(project) <= 8, "it would be about 20 otherwise"


def test_the_router_keeps_to_the_interval(project: SampleProject) -> None:
    backend = project.config["services"]["backend"]
    backend["instances"] = 2
    backend["health"]["interval"] = "200ms"
    project.commit("Count", app_py=project.app_source(COUNTS))
    project.deploy()
    with urllib.request.urlopen(f"http://127.0.0.1:{project.backend_port}/", timeout=30):
        before = probes(project)
    eventually(lambda: probes(project) > before + 50)
