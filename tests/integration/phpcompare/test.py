"""Debian's php-fpm and ours, side by side, byte for byte."""

import os
import shutil

import requests_answer
import requests_more
import requests_rest
import requests_server
from case import needs_root, plain_only
from sides import Sides
from tally import Tally

TALLY = Tally()
LEAST_REQUESTS, LEAST_GROUPS = 300, 12


def prepare(case):
    """The scripts, and files that are no good scripts."""
    www = case.dir / "www"
    shutil.copytree(case.source / "scripts", www)
    for name in ("index.php", "with space.php", "plain.txt", "script.phtml", "archive.phar.php"):
        shutil.copy(www / "path.php", www / "sub" / name)
    (www / "data.bin").write_bytes(bytes((i * i // 7) & 255 for i in range(70_000)))
    for folder, _, files in os.walk(www):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
            os.utime(os.path.join(folder, name), (1e9, 1e9))  # opcache leaves new files alone
    os.chmod(www, 0o777)
    more = {
        "prepend.inc": "<?php define('PREPENDED', 1);",
        "prepend_odd.inc": "<?php echo '[before]';", "append_odd.inc": "<?php echo '[after]';",
        "empty.php": "", "html.php": "<p>no php\n",
        "secret.php": "<?php echo 'secret';", "CAPITAL.PHP": "<?php echo 'capital';",
        "noextension": "<?php echo 'no extension';", ".php": "<?php echo 'hidden';",
        "shebang.php": "#!/usr/bin/php\n<?php echo 'shebang';",
        "bom.php": "\ufeff<?php header('X-A: 1'); echo 'bom';",
        "strict.php": "<?php\ndeclare(strict_types=1);\nnamespace a\\b;\necho strlen('x'), __NAMESPACE__;",
        "closed/a.php": "<?php echo 'closed';",
        "user/.user.ini": "memory_limit = 99M\nprecision = 3\npost_max_size = 5M\nno.such = 1\n",
        "user/below/.user.ini": "precision = 4\ndisplay_errors = off\n",
        "user/broken/.user.ini": "precision = [\n;\n=\n",
    }
    for name, text in more.items():
        case.write(f"www/{name}", text)
    for folder in ("user", "user/below", "user/broken", "sections", "sections/below"):
        (www / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(www / "ini.php", www / folder / "ini.php")
    os.chmod(www / "secret.php", 0o600)
    os.chmod(www / "closed", 0o700)
    (www / "folder.php").mkdir(mode=0o755)
    for link, target in {"link.php": "path.php", "linked": "sub", "broken.php": "nowhere.php",
                         "null.php": "/dev/null", "outside.php": "/etc/hostname"}.items():
        (www / link).symlink_to(target)
    return www


def compare(case, **groups):
    www = prepare(case)
    sides = Sides(case, TALLY, www)
    wrong = [text for group, requests in groups.items()
             for text in sides.compare(group.replace("_", " "), requests(str(www)))]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)


@needs_root
@plain_only
def test_superglobals_and_credentials(case):
    compare(case, superglobals=requests_server.superglobals, auth=requests_server.auth,
            request_headers=requests_server.request_headers)


@needs_root
@plain_only
def test_where_the_script_is_found(case):
    compare(case, path_info=lambda root: requests_server.paths(root, "main"),
            path_info_without_fix=lambda root: requests_server.paths(root, "nofix"))


@needs_root
@plain_only
def test_headers_of_the_answer(case):
    compare(case, headers=requests_answer.headers)


@needs_root
@plain_only
def test_errors_and_exits(case):
    compare(case, errors=requests_answer.errors, exits=requests_answer.exits)


@needs_root
@plain_only
def test_output_and_sessions(case):
    compare(case, streams=requests_answer.streams, finish_request=requests_answer.finish,
            sessions=requests_answer.sessions)


@needs_root
@plain_only
def test_uploads_and_bodies(case):
    compare(case, uploads=requests_rest.uploads, bodies=requests_rest.bodies)


@needs_root
@plain_only
def test_settings(case):
    compare(case, settings=requests_rest.settings)


@needs_root
@plain_only
def test_bad_input(case):
    compare(case, bad_input=requests_rest.bad_input)


@needs_root
@plain_only
def test_pages_and_the_rest(case):
    compare(case, pages=requests_rest.pages, miscellany=requests_rest.miscellany)


@needs_root
@plain_only
def test_what_stays_from_one_request_to_the_next(case):
    compare(case, leftovers=requests_more.leftovers)


@needs_root
@plain_only
def test_layers_of_output_and_ends_of_scripts(case):
    compare(case, layers=requests_more.layers, more_headers=requests_more.more_headers)


@needs_root
@plain_only
def test_children_and_the_engine_itself(case):
    compare(case, children=requests_more.children, engine=requests_more.engine)


@needs_root
@plain_only
def test_limits_and_sections_of_php_ini(case):
    compare(case, limits=requests_more.limits, sections=requests_more.sections, roles=requests_more.roles)


@needs_root
@plain_only
def test_that_it_was_enough(case):
    case.needs_php()
    total, lines = TALLY.report()
    for line in lines:
        case.say(line)
    assert total["compared"] >= LEAST_REQUESTS, lines
    assert len(TALLY.groups) >= LEAST_GROUPS, lines
    assert TALLY.answered >= total["compared"] * 0.95, lines
    # What php-fpm does not agree on with itself must stay the exception.
    assert total["sent"] - total["compared"] <= total["sent"] // 50, lines
