"""A release that one environment built is deployed to another with that one's own settings."""

import copy

import pytest

from sample_project import SampleProject, free_ports, get_json


@pytest.fixture
def two_stages(project: SampleProject) -> SampleProject:
    environments = project.config["environments"]
    environments["production"] = copy.deepcopy(environments["local"])
    for service, port in zip(("frontend", "backend"), free_ports(2), strict=True):
        environments["production"][service] = {"local": {"port": port}, "env": {"STAGE": f"production of {service}"}}
    project.commit("Two environments")
    return project


def test_a_release_of_another_environment_goes_to_the_addresses_of_this_one(two_stages: SampleProject) -> None:
    commit = two_stages.commit("First")
    two_stages.deploy()
    try:
        two_stages.deploy("--env", "production", "--release", "v1")
        ports = two_stages.config["environments"]["production"]
        for service in ("frontend", "backend"):
            assert get_json(ports[service]["local"]["port"])["commit"] == commit
        assert two_stages.served_commits() == dict.fromkeys(("frontend", "backend"), commit)
        assert len(two_stages.built_services(commit)) == 2, "nothing was built again"
        assert "nothing to do" in two_stages.deploy("--env", "production", "--release", "v1").stdout
        second = two_stages.commit("Second", app_py=two_stages.app_source('    return 200, {"new": 1}\n'))
        two_stages.deploy("--env", "production")
        assert get_json(ports["backend"]["local"]["port"])["commit"] == second
        two_stages.run("rollback", "--env", "production", "--yes", "--reason", "x")
        assert get_json(ports["backend"]["local"]["port"])["commit"] == commit
    finally:
        two_stages.run("down", "--env", "production", "--yes")
