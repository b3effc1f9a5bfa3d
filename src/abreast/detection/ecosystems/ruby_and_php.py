"""Services in Ruby (Rails, Rack) and PHP (Laravel, Symfony)."""

import re

from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.repository import Repository, path_in

_ASSET_GEMS = frozenset(
    {"sprockets-rails", "propshaft", "webpacker", "vite_rails", "jsbundling-rails", "cssbundling-rails", "sass-rails",
     "importmap-rails"}
)  # fmt: skip


def detect_ruby(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the service of a Gemfile."""
    if "Gemfile" not in repository.names(folder):
        return []
    file = path_in(folder, "Gemfile")
    gems = frozenset(re.findall(r"^\s*gem\s+['\"]([\w-]+)", repository.text(file), re.MULTILINE))
    draft = ServiceDraft("", folder, Kind.WEB, "ruby", packages=gems)
    lock = repository.has(path_in(folder, "Gemfile.lock"))
    draft.propose("build.install", "bundle install", lock or file, Authority.PROJECT)
    if "rails" in gems and repository.has(path_in(folder, "config/routes.rb")):
        _propose_rails(repository, draft, file)
    elif config := repository.has(path_in(folder, "config.ru")):
        server = "puma -b tcp://127.0.0.1:$PORT" if "puma" in gems else "rackup -o 127.0.0.1 -p $PORT"
        draft.propose("run", f"bundle exec {server}", config)
        draft.propose("env.RACK_ENV", "production", file)
    if version := repository.text(path_in(folder, ".ruby-version")).strip():
        draft.remarks.append(f"Ruby {version} ({path_in(folder, '.ruby-version')}): the ruby on the PATH runs it")
    return [draft] if draft.chosen("run") else []


def _propose_rails(repository: Repository, draft: ServiceDraft, gemfile: str) -> None:
    if draft.packages & _ASSET_GEMS:
        precompile = "SECRET_KEY_BASE_DUMMY=1 RAILS_ENV=production bundle exec rails assets:precompile"
        draft.propose("build.run", precompile, gemfile)
    if config := repository.has(path_in(draft.folder, "config/puma.rb")):
        draft.propose("run", "bundle exec puma -C config/puma.rb", config)
    else:
        draft.propose(
            "run", "bundle exec rails server -b 127.0.0.1 -p $PORT", path_in(draft.folder, "config/routes.rb")
        )
    draft.propose("env.RAILS_ENV", "production", gemfile, Authority.PLATFORM)
    draft.propose("env.SECRET_KEY_BASE", "${SECRET_KEY_BASE}", "Rails needs it in production")


def detect_php(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return the service of a composer.json."""
    if "composer.json" not in repository.names(folder):
        return []
    file = path_in(folder, "composer.json")
    manifest = repository.json(file)
    required = manifest.get("require")
    packages = frozenset(required) if isinstance(required, dict) else frozenset()
    draft = ServiceDraft("", folder, Kind.WEB, "php", packages=packages)
    lock = repository.has(path_in(folder, "composer.lock"))
    draft.propose("build.install", "composer install --no-interaction --prefer-dist", lock or file, Authority.PROJECT)
    if repository.has(path_in(folder, "artisan")):
        why = "Laravel needs it: php artisan key:generate --show"
        draft.propose("env.APP_KEY", "${APP_KEY}", why, Authority.PLATFORM)
        draft.propose("run", "php artisan serve --host 127.0.0.1 --port $PORT", path_in(folder, "artisan"))
        draft.propose("env.APP_ENV", "production", path_in(folder, "artisan"), Authority.PLATFORM)
    elif index := repository.has(path_in(folder, "public/index.php")):
        draft.propose("run", "php -S 127.0.0.1:$PORT -t public", index)
    elif index := repository.has(path_in(folder, "index.php")):
        draft.propose("run", "php -S 127.0.0.1:$PORT", index)
    if draft.chosen("run"):
        draft.remarks.append("PHP's own server runs it, since there is none for production that is a command alone")
    return [draft] if draft.chosen("run") else []
