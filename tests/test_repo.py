"""What no other tool holds: documents in step with the code, and imports of files that are no package."""

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.cli.parser import build_parser
from mcp_core.providers.config import ProviderConfig, load_providers
from mcp_core.settings import Settings, load_settings
from mcp_core.types.base import MCPType
from mcp_core.types.registry import ENTRY_POINT_GROUP, Registry

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mcp_core"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

PRUNED = {"__pycache__", "build", "dist", "reports", "venv", "node_modules"}
HIDDEN_BUT_OURS = {".ci", ".streamlit", ".gitignore", ".gitattributes"}
PRIVATE = {"secrets.toml"}


def product_files(directory: Path = ROOT) -> Iterator[Path]:
    """Every file of the repository, without what tools and people leave in it."""
    for path in sorted(directory.iterdir()):
        if path.name in PRUNED | PRIVATE or (path.name.startswith(".") and path.name not in HIDDEN_BUT_OURS):
            continue
        if path.is_dir():
            yield from product_files(path)
        else:
            yield path


def modules(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.py") if "__pycache__" not in path.parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports_of(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found.add(node.module or "")
    return found


def top_imports_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def room_of(path: Path) -> str:
    """The room of a module of the package: its directory, or its own name on the first level."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def requirements(*extras: str) -> dict[str, Requirement]:
    """Direct dependencies by name: those of the panel, or of the extras, without the project itself."""
    listed = PROJECT["optional-dependencies"]
    lines = [line for extra in extras for line in listed[extra]] if extras else PROJECT["dependencies"]
    parsed = (Requirement(line) for line in lines)
    return {name: item for item in parsed if (name := canonicalize_name(item.name)) != PROJECT["name"]}


def pins(file: str) -> dict[str, set[str]]:
    """Package -> the versions a requirements file pins it to, one for each environment it tells apart."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / file).read_text("utf-8").splitlines():
        if line and not line.lstrip().startswith("#"):
            item = Requirement(line)
            (specifier,) = item.specifier
            assert specifier.operator == "==", line
            found.setdefault(canonicalize_name(item.name), set()).add(specifier.version)
    return found


def table_rows(document: str) -> list[list[str]]:
    """Cells of all table rows of a document whose first cell is one piece of code."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if re.fullmatch(r"`[^`]+`", row[0])]


class TestDocuments:
    def test_settings_lists_every_setting_in_order(self) -> None:
        names = [row[0].strip("`") for row in table_rows("docs/settings.md")]
        assert names == [f"MCP_{field.upper()}" for field in Settings.model_fields]

    def test_settings_states_the_defaults(self, tmp_path: Path) -> None:
        built_in = load_settings({}, directory=tmp_path)
        for name, default, *_ in table_rows("docs/settings.md"):
            field = name.strip("`").removeprefix("MCP_").lower()
            actual = getattr(built_in, field)
            if match := re.fullmatch(r"`([^`]+)`", default):
                stated = load_settings({name.strip("`"): match[1]}, directory=tmp_path)
                assert getattr(stated, field) == actual, name
            elif field != "data_dir":
                assert default.startswith("empty"), name
                assert not (actual.get_secret_value() if field == "master_key" else actual), name

    def test_secrets_example_names_only_what_exists(self, tmp_path: Path) -> None:
        example = (ROOT / ".streamlit" / "secrets.toml.example").read_text("utf-8")
        assert tomllib.loads(example) == {}, "everything in the example is commented out"
        names = re.findall(r"^# (MCP_\w+) = ", example, re.MULTILINE)
        assert set(names) <= {f"MCP_{field.upper()}" for field in Settings.model_fields}
        # Uncommented as it stands, it is read without complaint.
        lines = re.findall(r"^# ([A-Za-z_]+ = .*|\[[\w.]+\])$", example, re.MULTILINE)
        (tmp_path / ".streamlit").mkdir()
        (tmp_path / ".streamlit" / "secrets.toml").write_text("\n".join(lines), "utf-8")
        settings = load_settings({}, directory=tmp_path)
        assert settings.cache_backend == "tiered"
        assert set(settings.secret_tables) == {"providers", "auth"}

    @pytest.mark.parametrize(
        ("heading", "extras"),
        [
            ("To run the panel", ()),
            ("To test it", ("test",)),
            ("To document it", ("docs",)),
            ("To develop it", ("dev",)),
        ],
    )
    def test_dependencies_lists_exactly_the_direct_ones(self, heading: str, extras: tuple[str, ...]) -> None:
        text = (ROOT / "docs/dependencies.md").read_text("utf-8")
        section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        listed = re.findall(r"^\| `([^`]+)` \| \S.*\.\s\|$", section, re.MULTILINE)
        assert listed == sorted(requirements(*extras))

    def test_architecture_names_every_room(self) -> None:
        text = (ROOT / "docs/architecture.md").read_text("utf-8")
        rooms = {room_of(path) for path in modules(PACKAGE)}
        missing = {room for room in rooms if not re.search(rf"^  {re.escape(room)}(/|\.py) ", text, re.MULTILINE)}
        assert not missing

    def test_links_lead_somewhere(self) -> None:
        broken = []
        for path in product_files():
            if path.suffix != ".md":
                continue
            text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                file, _, anchor = target.partition("#")
                if re.match(r"[a-z]+:", target):
                    continue
                linked = (path.parent / file).resolve() if file else path
                if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
                    broken.append(f"{path.name}: {target}")
        assert not broken

    def test_the_providers_file_of_the_settings_is_valid(self, tmp_path: Path) -> None:
        (example,) = blocks("docs/settings.md", "toml")
        (tmp_path / "providers.toml").write_text(example, "utf-8")
        acme = load_providers(load_settings({"MCP_DATA_DIR": str(tmp_path)}, directory=tmp_path))["acme"]
        every_field = set(ProviderConfig.model_fields) - {"name"}
        assert set(tomllib.loads(example)["providers"]["acme"]) == every_field
        assert acme.protocol == "openai"
        assert [price.model for price in acme.prices] == ["large"]

    def test_the_type_of_the_guide_can_be_registered_and_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Registering makes the name a value of MCPType for the whole process; here for this test alone.
        monkeypatch.setattr(MCPType, "_value2member_map_", dict(MCPType._value2member_map_))
        source = blocks("docs/extending.md", "python")[0]
        guide = ModuleType("panel_sentiment")
        exec(compile(source, "panel_sentiment.py", "exec"), guide.__dict__)
        registry = Registry()
        definition = registry.register(guide.run_sentiment)
        raw = yaml.safe_load(blocks("docs/extending.md", "yaml")[0])
        config = registry.parse(raw)
        assert type(config) is guide.SentimentConfig
        assert definition.name == config.type == MCPType("sentiment")

    def test_entry_points_of_the_guide_name_what_the_guide_defines(self) -> None:
        text = (ROOT / "docs/extending.md").read_text("utf-8")
        groups: dict[str, dict[str, str]] = {}
        for block in blocks("docs/extending.md", "toml"):
            groups |= tomllib.loads(block)["project"]["entry-points"]
        assert list(groups) == re.findall(r"^\| `(mcp_core\.\w+)` \|", text, re.MULTILINE)
        assert groups[ENTRY_POINT_GROUP] == {"sentiment": "panel_sentiment:run_sentiment"}

    @pytest.mark.parametrize("document", ["README.md", "docs/extending.md"])
    def test_python_in_documents_imports_what_exists(self, document: str) -> None:
        checked = 0
        for source in blocks(document, "python"):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcp_core"):
                    module = import_module(node.module or "")
                    for alias in node.names:
                        assert hasattr(module, alias.name), f"{document}: {node.module}.{alias.name}"
                        checked += 1
        assert checked

    def test_the_cache_of_the_guide_works(self, tmp_path: Path) -> None:
        source = next(block for block in blocks("docs/extending.md", "python") if "WarehouseCache" in block)
        guide = ModuleType("panel_warehouse")
        exec(compile(source, "panel_warehouse.py", "exec"), guide.__dict__)
        cache: Cache = guide.WarehouseCache(load_settings({}, directory=tmp_path))
        older, newer = Entry("a" * 64, b"{}", created_at=1.0), Entry("b" * 64, b"[1]", created_at=2.0)
        cache.set(older)
        cache.set(newer)
        assert cache.get(older.key) == older
        assert list(cache.entries(limit=1)) == [newer]
        assert cache.size() == CacheSize(entries=2, size_bytes=5)
        assert cache.delete(older.key)
        assert not cache.delete(older.key)
        assert cache.clear() == 1

    @pytest.mark.parametrize("document", ["README.md", "docs/settings.md", "docs/deploy.md", "docs/extending.md"])
    def test_commands_in_documents_can_be_typed(self, document: str) -> None:
        text = (ROOT / document).read_text("utf-8")
        commands = re.findall(r"(?:^|`)python -m mcp_core ([^`\n]+)", text, re.MULTILINE)
        assert commands
        for command in commands:
            assert build_parser().parse_args(shlex.split(command)).handler, command

    def test_readme_opens_with_what_it_is_a_picture_and_the_two_commands(self) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        places = [
            text.index(piece)
            for piece in (
                "# Model Control Panel",
                "browser-based team tool",
                "](docs/images/run.png)",
                "\npip install -r requirements.txt && streamlit run app.py\n",
                "\npip install -r requirements-dev.txt && pytest\n",
                "\n## The main job",
            )
        ]
        assert places == sorted(places)


def blocks(document: str, language: str) -> list[str]:
    """Contents of the fenced code blocks in one language."""
    text = (ROOT / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class TestDependencies:
    def test_requirements_fit_the_ranges(self) -> None:
        pinned = pins("requirements.txt")
        for name, item in requirements().items():
            assert name in pinned, f"run .ci/compile: {name} is not pinned"
            for version in pinned[name]:
                assert item.specifier.contains(version), (
                    f"run .ci/compile: {name} {version} is outside {item.specifier}"
                )

    def test_development_requirements_extend_the_others(self) -> None:
        run, develop = pins("requirements.txt"), pins("requirements-dev.txt")
        assert run.items() <= develop.items(), "run .ci/compile"
        for name, item in requirements("test", "docs", "dev").items():
            assert all(item.specifier.contains(version) for version in develop[name]), name

    def test_every_range_is_bounded_below(self) -> None:
        for name, item in (requirements() | requirements("test", "docs", "dev")).items():
            assert any(specifier.operator == ">=" for specifier in item.specifier), name

    def test_nothing_is_imported_that_is_not_declared(self) -> None:
        declared = set(requirements())
        for path in [*modules(PACKAGE), *scripts()]:
            for name in top_imports_of(path) - sys.stdlib_module_names - {"mcp_core", "__future__"}:
                assert owners_of(name) & declared, f"{path.relative_to(ROOT)} imports {name}"

    def test_nothing_is_declared_that_is_not_used(self) -> None:
        imported = set().union(*map(top_imports_of, [*modules(PACKAGE), *scripts()])) - sys.stdlib_module_names
        used = set().union(*map(owners_of, imported))
        # SQLAlchemy imports its driver by name.
        assert set(requirements()) - used - {"psycopg"} == set()

    @pytest.mark.parametrize("name", ["Pipfile", "environment.yml", "uv.lock", "setup.py", "setup.cfg"])
    def test_requirements_are_the_only_dependency_file(self, name: str) -> None:
        assert not (ROOT / name).exists(), f"Streamlit Community Cloud would read {name} instead of requirements.txt"


@cache
def owners_of(module: str) -> set[str]:
    """Names of the distributions a top-level module may come from."""
    # pydantic pins its core to one version and releases them together: whoever declares one has both.
    owners = {str(canonicalize_name(owner)) for owner in packages_distributions().get(module, [module])}
    return {"pydantic"} if owners == {"pydantic-core"} else owners


def scripts() -> list[Path]:
    """What is no package: the app's entries and its pages."""
    return [*sorted(ROOT.glob("*.py")), *modules(ROOT / "pages")]


class TestImports:
    def test_entries_and_pages_import_public_names_alone(self) -> None:
        allowed = {"streamlit", "mcp_core", "mcp_core.ui"}
        assert ROOT / "app.py" in scripts()
        for path in scripts():
            deeper = {
                name for name in imports_of(path) if name.partition(".")[0] not in sys.stdlib_module_names
            } - allowed
            assert not deeper, f"{path.relative_to(ROOT)} imports {', '.join(sorted(deeper))}"

    @pytest.mark.parametrize(
        ("libraries", "rooms"),
        [
            ({"requests", "requests_cache"}, {"providers", "cache"}),
            ({"sqlalchemy", "alembic", "psycopg"}, {"store"}),
            ({"streamlit", "plotly"}, {"ui"}),
            ({"fastapi", "starlette"}, {"web"}),
        ],
        ids=lambda value: "-".join(sorted(value)),
    )
    def test_a_library_stays_in_its_rooms(self, libraries: set[str], rooms: set[str]) -> None:
        strays = {
            f"{path.relative_to(ROOT)}: {name}"
            for path in modules(PACKAGE)
            if room_of(path) not in rooms
            for name in top_imports_of(path) & libraries
        }
        assert not strays

    def test_nothing_unpickles(self) -> None:
        unsafe = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
        assert not {path: found for path in [*modules(PACKAGE), *scripts()] if (found := top_imports_of(path) & unsafe)}

    def test_every_module_states_its_public_names(self) -> None:
        silent = []
        for path in modules(PACKAGE):
            body = tree_of(path).body
            if path.name == "__main__.py" or "migrations" in path.parts or not any(map(makes_names, body)):
                continue
            assigned = {
                target.id
                for node in body
                if isinstance(node, ast.Assign | ast.AnnAssign)
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                if isinstance(target, ast.Name)
            }
            if "__all__" not in assigned:
                silent.append(str(path.relative_to(ROOT)))
        assert not silent


def makes_names(node: ast.stmt) -> bool:
    return not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


class TestCleanliness:
    MACHINE = re.compile(
        r"""(?<![\w.>-])/(?:work|root|home|Users|workspace)/\w
        | pypi\.org | pythonhosted\.org | registry\.npmjs | anaconda\.org | ghcr\.io | docker\.io
        | -(?:index-url|-find-links|-trusted-host)\b""",
        re.VERBOSE,
    )

    def test_no_machine_path_or_registry_host(self) -> None:
        found = []
        for path in product_files():
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue
            found += [
                f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
                for number, line in enumerate(text.splitlines(), 1)
                if self.MACHINE.search(line)
            ]
        assert not found

    def test_every_text_ends_with_one_newline(self) -> None:
        ragged = []
        for path in product_files():
            content = path.read_bytes()
            if b"\0" not in content and content and (not content.endswith(b"\n") or b"\r\n" in content):
                ragged.append(str(path.relative_to(ROOT)))
        assert not ragged


class TestTheme:
    CONFIG: dict[str, Any] = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))

    def test_hosting_is_left_open_and_nothing_is_told(self) -> None:
        assert self.CONFIG["browser"] == {"gatherUsageStats": False}
        assert self.CONFIG["client"]["showErrorDetails"] == "none"
        assert not {"address", "port", "baseUrlPath", "enableAgentApi"} & set(self.CONFIG["server"])
        assert "http" not in (ROOT / ".streamlit" / "config.toml").read_text("utf-8")

    @pytest.mark.parametrize("mode", ["light", "dark"])
    def test_everything_can_be_read(self, mode: str) -> None:
        """Contrasts of WCAG 2.2 AA: 4.5 for text, 3 for what a chart draws."""
        theme = self.CONFIG["theme"][mode]
        for surface in ("backgroundColor", "secondaryBackgroundColor"):
            assert contrast(theme["textColor"], theme[surface]) >= 7
            assert contrast(theme["linkColor"], theme[surface]) >= 4.5
        assert contrast(theme["primaryColor"], "#FFFFFF") >= 4.5, "labels of primary buttons are white"
        for name in ("red", "orange", "yellow", "green", "blue", "violet", "gray"):
            assert contrast(theme[f"{name}Color"], theme["backgroundColor"]) >= 4.5, name
        for color in theme["chartCategoricalColors"]:
            assert contrast(color, theme["backgroundColor"]) >= 3, color
        assert len(set(theme["chartCategoricalColors"])) == len(theme["chartCategoricalColors"]) >= 8
        assert len(theme["chartSequentialColors"]) == len(theme["chartDivergingColors"]) == 10

    def test_both_modes_state_the_same(self) -> None:
        light, dark = self.CONFIG["theme"]["light"], self.CONFIG["theme"]["dark"]
        assert light.keys() == dark.keys()
        assert light["sidebar"].keys() == dark["sidebar"].keys()


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
