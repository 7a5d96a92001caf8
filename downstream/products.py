"""What is run: each product, where its tests are, and what of them cannot say anything about us."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Product:
    """One distribution of the index, with its exact version, so that a new fault is ours."""

    name: str
    version: str
    what: str  # what is run, for the table
    needs: tuple[str, ...] = ()  # requirements of its tests
    tests: tuple[
        str, ...
    ] = ()  # folders or files of its source distribution; none: a smoke run of ours
    smoke: str = ""  # a program of this folder, run in the product's environment
    no_deps: bool = False  # its metadata asks for what does not install any more; `needs` says all
    # Its tests that fail with the real CherryPy too, or need what no test machine has: name to reason.
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def requirement(self) -> str:
        extras = "[test]" if self.name in ("cherrypy-foundation", "rdiffweb") else ""
        return f"{self.name}{extras}=={self.version}"


UNDERSCORE = "sends a request field whose name has an underscore, which is left out on purpose"

PRODUCTS = (
    Product(
        "rdiffweb",
        "7.2.0",
        "its own tests of pages, logins, downloads and its API",
        # The whole takes half an hour: each test makes a database and repositories.
        tests=tuple(
            f"rdiffweb/controller/tests/test_{name}.py"
            for name in (
                "controller",
                "api",
                "openapi",
                "secure_headers",
                "page_login",
                "page_browse",
                "page_error",
                "page_restore",
            )
        ),
        needs=("pytest", "zc.lockfile"),
    ),
    Product(
        "cherrypy-foundation",
        "1.19.0",
        "its own tests",
        tests=("src/cherrypy_foundation",),
        needs=("pytest", "apscheduler", "zc.lockfile"),
        left_out={
            f"src/cherrypy_foundation/tests/test_url.py::UrlTest::test_get_page_relative_{one}": UNDERSCORE
            for one in ("true", "server")
        },
    ),
    Product(
        "cherrypy-cors",
        "1.7.0",
        "its own tests",
        tests=("test_all.py",),
        needs=("pytest",),
    ),
    Product(
        "cherrys",
        "2023.2.0",
        "sessions in a Redis, over HTTP",
        smoke="smoke_cherrys.py",
        needs=("redis",),
    ),
    Product(
        "CherryMusic",
        "0.41.4",
        "its server, from its source, over HTTP",
        smoke="smoke_cherrymusic.py",
        needs=("PyYAML",),
        no_deps=True,
    ),
    Product(
        "ldapcherry",
        "1.1.1",
        "its daemon with the demo directory, over HTTP",
        smoke="smoke_ldapcherry.py",
        needs=("PyYAML", "Mako"),
        no_deps=True,
    ),
)
