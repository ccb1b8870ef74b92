"""What README.md says is so."""

import re

from case import plain_only
from fpm import SERVICE_USER, is_root, run_once


def directives_of_the_program(case):
    """Names in the table from which fpm reads, checks and documents its directives."""
    table = (case.root / "fpm/config/directives.cpp").read_text()
    names = set(re.findall(r'^ {4}\{"([\w.]+)",', table, re.M))
    assert {"pid", "listen", "pm.max_children"} <= names, names
    return names


def blocks(text):
    """Indented blocks, without the indentation."""
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.M)
    return [re.sub(r"^ {4}", "", block, flags=re.M).strip("\n") for block in found]


@plain_only
def test_the_directives_it_lists_exist(case):
    readme = (case.root / "README.md").read_text()
    section = readme.split("## Directives")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {re.sub(r"\[.*", "", name) for row in rows for name in re.findall("`([^`]+)`", row)}
    listed -= {"include"}  # is no row of the table: it is carried out while files are read
    real = directives_of_the_program(case)
    assert len(listed) > 30, f"found only {sorted(listed)}"
    assert not listed - real, f"only in README.md: {sorted(listed - real)}"


@plain_only
def test_its_pools_are_taken_as_they_stand(case):
    readme = (case.root / "README.md").read_text()
    pools = [block.split("\n\n")[0] for block in blocks(readme) if re.match(r"\[\w+\]\n", block)]
    assert len(pools) >= 2, "found no pools"
    for text in pools:
        for folder in re.findall(r"= (/srv/\w+)$", text, re.M):
            case.write(f"{folder.strip('/')}/here", "")
        text = text.replace("/srv", f"{case.dir}/srv")
        text = text.replace("user = git", f"user = {SERVICE_USER}")
        if text.startswith("[global]"):  # what is shown of it needs a pool beside it
            text += f"\n{pools[0]}".replace("/srv", f"{case.dir}/srv")
        config = case.write("readme.conf", f"[global]\nerror_log = {case.dir}/log\n{text}")
        status, lines = run_once(case, ["-t", "-y", str(config)])
        assert status == 0, f"{text}\n{lines}"
        assert is_root() or any("is ignored" in line for line in lines)


@plain_only
def test_the_files_it_names_are_there(case):
    readme = (case.root / "README.md").read_text()
    for name in ("tools/run", "tools/test", "pools.d/www.conf", "fcgi/README.md"):
        assert name in readme and (case.root / name).exists(), name
    for sample in (case.root / "tools/deploy/samples").iterdir():
        assert f"`{sample.name}`" in readme, sample
    for option in ("-y", "-t", "-F", "-O", "-R", "-h", "-v"):
        assert any(line.split()[:1] == [option] or re.search(rf"^\s*{option}\b", line)
                   for line in run_once(case, ["-h"])[1]), f"fpm -h does not know {option}"
