"""Services in Go, Rust, Java and .NET: a program that a build leaves."""

import re

from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.repository import Repository, path_in, relative_to

_GO_LISTENS = re.compile(r"ListenAndServe|\.Run\(|\.Listen\(|\.Start\(|http\.Serve\(|RunListener")
_RUST_SERVERS = re.compile(r"^(axum|actix-web|rocket|warp|poem|salvo|tide|hyper|ntex|loco-rs|tonic)\b", re.MULTILINE)


def detect_go(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the programs of a Go module that serve; other programs are none."""
    if "go.mod" not in repository.names(folder):
        return []
    found = re.search(r"^module\s+(\S+)", repository.text(path_in(folder, "go.mod")), re.MULTILINE)
    module = re.sub(r"/v\d+$", "", found[1] if found else folder or "app").rpartition("/")[2]
    drafts = []
    for place, name in _go_programs(repository, folder, module).items():
        package = "." if place == folder else f"./{relative_to(place, folder)}"
        draft = ServiceDraft("", folder, Kind.WEB, "go")
        draft.propose(
            "build.run", f"go build -o bin/{name} {package}", f"{path_in(folder, 'go.mod')}", Authority.PROJECT
        )
        draft.propose("run", f"./bin/{name}", f"{path_in(place, '*.go')}: package main")
        drafts.append(draft)
    return drafts


def _go_programs(repository: Repository, folder: str, module: str) -> dict[str, str]:
    """Return the folders of the programs that listen, with their names; without any, the only program."""
    programs: dict[str, str] = {}
    for file in repository.sources(folder, ".go"):
        place = file.rpartition("/")[0]
        if re.search(r"^package main\b", repository.text(file), re.MULTILINE) and "func main()" in repository.text(
            file
        ):
            programs[place] = module if place == folder else place.rpartition("/")[2]
    listening = {place: name for place, name in programs.items() if _go_listens(repository, place)}
    if listening:
        return listening
    serves = any(
        re.search(r"net/http|gin-gonic|labstack/echo|gofiber|go-chi", repository.text(file))
        for file in repository.sources(folder, ".go")
    )
    return programs if len(programs) == 1 and serves else {}


def _go_listens(repository: Repository, place: str) -> bool:
    names = (name for name in repository.names(place) if name.endswith(".go"))
    return any(_GO_LISTENS.search(repository.text(path_in(place, name))) for name in names)


def go_binaries(repository: Repository, folder: str) -> list[str]:
    """Return the names of the programs of a Go module."""
    return [draft.text("run").removeprefix("./bin/") for draft in detect_go(repository, folder)]


def detect_rust(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the server that a crate builds."""
    if "Cargo.toml" not in repository.names(folder):
        return []
    file = path_in(folder, "Cargo.toml")
    manifest = repository.toml(file)
    package = manifest.get("package")
    if not isinstance(package, dict) or not any(_RUST_SERVERS.match(name) for name in manifest.get("dependencies", {})):
        return []
    binaries = [str(binary.get("name")) for binary in manifest.get("bin", ()) if isinstance(binary, dict)]
    has_main = bool(repository.has(path_in(folder, "src/main.rs")))
    binaries += [
        path.split("/")[-1 if path.endswith(".rs") and not path.endswith("/main.rs") else -2].removesuffix(".rs")
        for path in repository.below(path_in(folder, "src/bin"), ".rs")
        if path[len(path_in(folder, "src/bin")) + 1 :].count("/") == 0 or path.endswith("/main.rs")
    ]
    if not has_main and not binaries:
        return []
    name = str(package.get("default-run") or (package.get("name") if has_main else binaries[0]))
    target = next((above for above in (folder, *_above(folder)) if "Cargo.lock" in repository.names(above)), folder)
    locked = " --locked" if "Cargo.lock" in repository.names(target) else ""
    draft = ServiceDraft("", folder, Kind.WEB, "rust")
    draft.propose("build.run", f"cargo build --release{locked} --bin {name}", file, Authority.PROJECT)
    up = "./" if target == folder else f"{relative_to(target, folder)}/"
    prefix = "ROCKET_PORT=$PORT " if "rocket" in manifest.get("dependencies", {}) else ""
    draft.propose("run", f"{prefix}{up}target/release/{name}", file)
    return [draft]


def _above(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, -1, -1)] if folder else []


def detect_java(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the server of a Maven or Gradle project: Spring Boot or Quarkus."""
    names = repository.names(folder)
    draft = ServiceDraft("", folder, Kind.WEB, "java")
    for file, wrapper, program, build, jars in (
        ("pom.xml", "mvnw", "mvn", "-B -DskipTests package", "target"),
        ("build.gradle", "gradlew", "gradle", "bootJar", "build/libs"),
        ("build.gradle.kts", "gradlew", "gradle", "bootJar", "build/libs"),
    ):
        text = repository.text(path_in(folder, file)) if file in names else ""
        kind = next(
            (kind for kind in ("spring-boot", "org.springframework.boot", "quarkus", "micronaut") if kind in text), ""
        )
        if not kind or "<packaging>pom</packaging>" in text or draft.chosen("run"):
            continue
        command = f"./{wrapper}" if wrapper in names else program
        draft.propose("build.run", f"{command} {build}", path_in(folder, file), Authority.PROJECT)
        run = {
            "quarkus": "java -Dquarkus.http.port=$PORT -jar target/quarkus-app/quarkus-run.jar",
            "micronaut": f"MICRONAUT_SERVER_PORT=$PORT java -jar {jars}/*.jar",
        }.get(kind, f"java -jar {_jar(text, jars)} --server.address=127.0.0.1 --server.port=$PORT")
        draft.propose("run", run, f"{path_in(folder, file)}: {kind}")
        if "actuator" in text:
            draft.propose("health", "/actuator/health", f"{path_in(folder, file)}: actuator", Authority.CONTAINER)
    return [draft] if draft.chosen("run") else []


def _jar(text: str, jars: str) -> str:
    own = re.sub(r"<parent>.*?</parent>|<dependenc(?:y|ies)>.*", "", text, flags=re.DOTALL)
    artifact, version = re.search(r"<artifactId>([^<$]+)<", own), re.search(r"<version>([^<$]+)<", own)
    return f"{jars}/{artifact[1]}-{version[1]}.jar" if artifact and version and jars == "target" else f"{jars}/*.jar"


def detect_dotnet(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the web project of .NET in a folder; a program without the web SDK is a worker."""
    drafts = []
    for name in repository.names(folder):
        if not name.endswith((".csproj", ".fsproj")):
            continue
        file = path_in(folder, name)
        text = repository.text(file)
        is_web, is_worker = 'Microsoft.NET.Sdk.Web"' in text, 'Sdk.Worker"' in text
        if (
            not (is_web or is_worker or "<OutputType>Exe" in text)
            or "Microsoft.NET.Test" in text
            or "Sdk.BlazorWebAssembly" in text
        ):
            continue
        program = name.rpartition(".")[0]
        draft = ServiceDraft("", folder, Kind.WEB if is_web else Kind.WORKER, "dotnet", is_certain=is_web or is_worker)
        draft.propose("build.run", f"dotnet publish {name} -c Release -o out", file, Authority.PROJECT)
        draft.propose("run", f"dotnet out/{program}.dll" + (" --urls http://127.0.0.1:$PORT" if is_web else ""), file)
        drafts.append(draft)
    return drafts
