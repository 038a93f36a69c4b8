"""The real clients, unmodified, against the test hub: what they write they read back. A difference here
means that the hub, which our own client is tested against, is not the one that others meet."""

import json
import pathlib

from server import READER, STRANGER

KERNEL = "repo_type='kernel'"
ODD = "d é/a b+é😀#%?.txt"


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def stored(hub, repo_id: str, revision: str) -> dict[str, bytes]:
    commit = hub.store.repos["kernel", repo_id].commit_of(revision)
    return {path: hub.store.read(blob) for path, blob in commit.files.items()}


def upload(client, kernel, *words, **options):
    return client.hf("upload", "acme/rms", kernel, ".", "--repo-type=kernel", *words, **options)


def test_what_hf_uploads_hf_downloads(hub, client, client_of, kernel):
    """All bytes of a built kernel, through the version branch that the upload itself makes."""
    upload(client, kernel, "--revision=v1")
    expected = files_of(kernel)
    there = stored(hub, "acme/rms", "v1")
    attributes = there.pop(".gitattributes")
    assert there == expected
    assert not hub.seen(path="xet"), "a client with hf-xet was not declined before it asked"
    large = [
        path
        for path, blob in hub.store.repos["kernel", "acme/rms"].commit_of("v1").files.items()
        if blob.large
    ]
    assert large and all(path.endswith(".so") for path in large)

    other = client_of(hub.url)
    where = other.python(f"print(snapshot_download('acme/rms', {KERNEL}, revision='v1'))").stdout.strip()
    assert files_of(pathlib.Path(where)) == {**expected, ".gitattributes": attributes}
    local = other.home / "local"
    other.hf(
        "download",
        "acme/rms",
        "--repo-type=kernel",
        "--revision=v1",
        "--include=build/*cpu*",
        "--local-dir",
        local,
    )
    assert files_of(local / "build") == {
        path.removeprefix("build/"): data for path, data in expected.items() if "-cpu-" in path
    }


def test_a_repeated_upload_makes_no_commit(hub, client, kernel):
    upload(client, kernel, "--revision=v1")
    hub.log.clear()
    upload(client, kernel, "--revision=v1")
    assert hub.seen("POST", "/preupload/") and not hub.seen("POST", "/commit/")


def test_a_warm_snapshot_asks_once_or_never(hub, client, kernel):
    """verified-clients.md 2: with a commit as revision and a whole cache, no request at all."""
    commit = hub.add_folder("acme/rms", kernel, "v1")
    client.python(f"snapshot_download('acme/rms', {KERNEL}, revision='v1')")
    hub.log.clear()
    client.python(f"snapshot_download('acme/rms', {KERNEL}, revision='v1')")
    assert [entry.target for entry in hub.log] == ["/api/kernels/acme/rms/revision/v1"]
    client.python(f"snapshot_download('acme/rms', {KERNEL}, revision={commit.oid!r})")
    assert len(hub.log) == 1


def test_classic_lfs_sends_bytes_without_the_token(hub, client, tmp_path):
    """Basic and multipart, on the second origin; a repeat sends nothing (verified-clients.md 3)."""
    hub.uploads, hub.part_bytes = "lfs", 1 << 20
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "one.so").write_bytes(b"1" * 1000)
    (folder / "parts.so").write_bytes(bytes(range(256)) * (10 << 10))  # 2.5 parts
    (folder / "README.md").write_text("# small\n")
    client.hf("upload", "acme/lfs", folder, ".", "--repo-type=kernel", HF_HUB_DISABLE_XET="1")
    assert {**stored(hub, "acme/lfs", "main"), ".gitattributes": b""} == {
        **files_of(folder),
        ".gitattributes": b"",
    }
    puts = hub.seen("PUT")
    assert len(puts) == 4 and {entry.origin for entry in puts} == {"objects"}
    assert [entry.token for entry in hub.seen(origin="objects")] == [None] * 5  # and the completion
    assert len(hub.seen("POST", "/verify")) == 2
    hub.log.clear()
    client.hf("upload", "acme/lfs", folder, ".", "--repo-type=kernel", HF_HUB_DISABLE_XET="1")
    assert not hub.seen("PUT") and not hub.seen("POST", "/commit/")


def test_a_client_with_xet_fails_at_once_where_files_go_by_lfs(hub, client, tmp_path):
    """verified-clients.md 3.1: no fallback, but no hanging either."""
    hub.uploads = "lfs"
    (tmp_path / "one.so").write_bytes(b"1" * 1000)
    done = client.hf("upload", "acme/lfs", tmp_path / "one.so", "--repo-type=kernel", check=False, timeout=20)
    assert done.returncode != 0 and "xet-write-token" in done.stdout + done.stderr
    assert [entry.status for entry in hub.seen(path="xet-write-token")] == [404]
    assert "one.so" not in stored(hub, "acme/lfs", "main")


def test_names_survive_the_way_there_and_back(hub, client):
    """Blanks, plus, hash, percent, question mark and letters beyond the basic plane, in every encoding."""
    client.python(f"""
api.create_repo('acme/odd', {KERNEL})
api.create_branch('acme/odd', {KERNEL}, branch='feat/a+b é')
api.upload_file(path_or_fileobj=b'odd', path_in_repo={ODD!r}, repo_id='acme/odd', {KERNEL}, revision='feat/a+b é')
""")
    assert stored(hub, "acme/odd", "feat/a+b é")[ODD] == b"odd"
    told = client.python(f"""
where = dict(repo_id='acme/odd', {KERNEL}, revision='feat/a+b é')
path = hf_hub_download(filename={ODD!r}, **where)
tree = [item.path for item in api.list_repo_tree(path_in_repo='d é', **where)]
info = [item.path for item in api.get_paths_info(paths=[{ODD!r}, 'missing'], **where)]
print(json.dumps([pathlib.Path(path).read_text(), tree, info, api.file_exists('acme/odd', {ODD!r}, {KERNEL},
    revision='feat/a+b é'), api.file_exists('acme/odd', 'missing', {KERNEL})]))
""").stdout
    assert json.loads(told) == ["odd", [ODD], [ODD], True, False]


def test_a_tree_comes_in_pages(hub, client):
    """A client that stops at the first page would install half a kernel."""
    hub.page_items = 3
    files = {f"build/v/{number:02}.txt": b"%d" % number for number in range(10)}
    hub.add("acme/pages", files)
    told = client.python(
        f"print(json.dumps([i.path for i in api.list_repo_tree('acme/pages', {KERNEL}, recursive=True)]))"
    )
    assert json.loads(told.stdout) == sorted([".gitattributes", "build", "build/v", *files])
    assert len(hub.seen("GET", "/tree/")) == 5  # 13 entries
    told = client.python(f"print(len(api.list_repo_commits('acme/pages', {KERNEL})))")
    assert told.stdout.strip() == "2"


def test_branches_tags_and_parents(hub, client):
    hub.add("acme/refs", {"a.txt": b"a"})
    told = client.python(f"""
where = dict(repo_id='acme/refs', {KERNEL})
add = lambda path: [CommitOperationAdd(path, path.encode())]
api.create_branch(branch='v1', **where)
api.create_branch(branch='v1', exist_ok=True, **where)
first = api.create_commit(operations=add('b.txt'), commit_message='b', revision='v1', **where).oid
second = api.create_commit(operations=add('c.txt'), commit_message='c', revision='v1', parent_commit=first, **where).oid
try:
    api.create_commit(operations=add('d.txt'), commit_message='d', revision='v1', parent_commit=first, **where)
except HfHubHTTPError as error:
    stale = error.response.status_code
api.create_tag(tag='t/1', revision='v1', **where)
third = api.create_commit(operations=add('e.txt'), commit_message='e', revision='v1', **where).oid
api.create_commit(operations=[CommitOperationDelete('a.txt')], commit_message='no a', revision='v1', **where)
refs = api.list_repo_refs(**where)
print(json.dumps([stale, first, second, third, [b.name for b in refs.branches], [[t.name, t.target_commit] for t in refs.tags],
    [c.title for c in api.list_repo_commits(revision='v1', **where)]]))
api.delete_tag(tag='t/1', **where)
""").stdout
    stale, first, second, third, branches, tags, titles = json.loads(told)
    assert stale == 412
    assert len({first, second, third}) == 3
    assert branches == ["main", "v1"] and tags == [["t/1", second]]
    assert titles == ["no a", "e", "c", "b", "added", "initial commit"]
    repo = hub.store.repos["kernel", "acme/refs"]
    assert sorted(repo.commit_of("v1").files) == [".gitattributes", "b.txt", "c.txt", "e.txt"]
    assert sorted(repo.commit_of("main").files) == [".gitattributes", "a.txt"]
    assert "refs/tags/t/1" not in repo.refs


def test_a_deleted_folder_and_a_missing_file(hub, client):
    hub.add("acme/gone", {"build/v/a.txt": b"a", "build/v/b.txt": b"b", "keep.txt": b"k"})
    client.python(f"api.delete_folder('build', 'acme/gone', {KERNEL})")
    assert sorted(stored(hub, "acme/gone", "main")) == [".gitattributes", "keep.txt"]
    (raised,) = client.errors(f"api.delete_file('build/v/a.txt', 'acme/gone', {KERNEL})")
    assert raised.startswith("RemoteEntryNotFoundError") and "A file with this name doesn't exist" in raised


def test_a_pull_request_leaves_the_branch_alone(hub, client, tmp_path):
    """Of a commit, and of a folder without hf-xet. With it the client opens the request first, and refuses to
    do that for a kernel by itself: for a model it works."""
    base = hub.add("acme/pr", {"a.txt": b"a"}).oid
    model = hub.add("acme/model", {"a.txt": b"a"}, kind="model").oid
    (tmp_path / "c.txt").write_text("c")
    folder = f"folder_path={str(tmp_path)!r}, allow_patterns='c.txt', create_pr=True"
    told = client.python(f"""
where = dict(repo_id='acme/pr', {KERNEL})
add = [CommitOperationAdd('b.txt', b'b')]
pull = api.create_commit(operations=add, commit_message='b', parent_commit={base!r}, create_pr=True, **where)
other = api.upload_folder(repo_id='acme/model', {folder})
try:
    api.upload_folder({folder}, **where)
except ValueError as error:
    refused = str(error)
refs = [ref.ref for ref in api.list_repo_refs(include_pull_requests=True, **where).pull_requests]
print(json.dumps([pull.pr_revision, other.pr_revision, refused, refs]))
""").stdout
    pull, other, refused, refs = json.loads(told)
    assert (pull, other, refs) == ("refs/pr/1", "refs/pr/1", ["refs/pr/1"])
    assert refused.startswith("Invalid repo type")
    client.python(f"api.upload_folder(repo_id='acme/pr', {KERNEL}, {folder})", HF_HUB_DISABLE_XET="1")
    repo, others = hub.store.repos["kernel", "acme/pr"], hub.store.repos["model", "acme/model"]
    assert repo.refs["refs/heads/main"] == base and others.refs["refs/heads/main"] == model
    assert sorted(repo.commit_of("refs/pr/1").files) == [".gitattributes", "a.txt", "b.txt"]
    assert sorted(repo.commit_of("refs/pr/2").files) == [".gitattributes", "a.txt", "c.txt"]
    assert sorted(others.commit_of("refs/pr/1").files) == [".gitattributes", "a.txt", "c.txt"]


def test_a_private_repository_is_not_there_for_others(hub, client, client_of):
    hub.add("acme/secret", {"a.txt": b"a"}, private=True)
    read = f"print(pathlib.Path(hf_hub_download('acme/secret', 'a.txt', {KERNEL})).read_text())"
    assert client.python(read).stdout.strip() == "a"
    for token, status in ((None, "401"), (STRANGER, "404")):
        other = client_of(hub.url, token, name=f"token-{status}")
        raised, missing, unread = other.errors(
            "api.kernel_info('acme/secret')", "api.kernel_info('acme/nothing')", read
        )
        assert raised == missing.replace("acme/nothing", "acme/secret")
        assert raised.startswith(f"RepositoryNotFoundError: {status}")
        assert unread.startswith("RepositoryNotFoundError")
    reader = client_of(hub.url, READER, name="reader")
    write = f"api.upload_file(path_or_fileobj=b'', path_in_repo='b', repo_id='acme/secret', {KERNEL})"
    read_raised, write_raised = reader.errors(read, write)
    assert read_raised == "none" and "403 Forbidden: You don't have the rights" in write_raised
    hub.tokens.clear()
    assert "Invalid user token" in client.errors("print(whoami())")[0]


def test_a_gated_repository_shows_lists_alone(hub, client_of):
    hub.add("acme/gated", {"a.txt": b"a"}, gated=True)
    guest = client_of(hub.url, STRANGER)
    listed = guest.python(f"print([item.path for item in api.list_repo_tree('acme/gated', {KERNEL})])").stdout
    assert "a.txt" in listed
    (raised,) = guest.errors(f"hf_hub_download('acme/gated', 'a.txt', {KERNEL})")
    assert raised.startswith("GatedRepoError: 403")


def test_repositories_come_move_and_go(hub, client):
    told = client.python(f"""
print(api.create_repo('acme/one', {KERNEL}, private=True))
print(api.create_repo('acme/one', {KERNEL}, exist_ok=True))
print(whoami()['name'], [org['name'] for org in whoami()['orgs']])
api.upload_file(path_or_fileobj=b'a', path_in_repo='a', repo_id='acme/one', {KERNEL})
api.move_repo('acme/one', 'acme/two', {KERNEL})
print(pathlib.Path(hf_hub_download('acme/one', 'a', {KERNEL})).read_text(), api.kernel_info('acme/two').private)
api.delete_repo('acme/two', {KERNEL})
api.delete_repo('acme/two', {KERNEL}, missing_ok=True)
""").stdout.splitlines()
    assert told[0] == told[1] == f"{hub.url}/kernels/acme/one"
    assert told[2:] == ["dev ['acme']", "a True"]
    assert hub.store.repos == {}


def test_a_model_is_served_and_listed_like_a_kernel(hub, client):
    """No client lists kernels; list_models speaks the same form, so it stands in."""
    for name in ("norm-a", "norm-b", "rope"):
        hub.add(f"acme/{name}", {"a.txt": b"a"}, kind="model")
    hub.add("acme/norm-hidden", {"a.txt": b"a"}, kind="model", private=True)
    hub.page_items = 1
    told = client.python(
        "print([model.id for model in api.list_models(search='NORM', author='acme')])", HF_TOKEN=""
    )
    assert told.stdout.strip() == "['acme/norm-a', 'acme/norm-b']"
    assert (
        client.python("print(pathlib.Path(hf_hub_download('acme/rope', 'a.txt')).read_text())").stdout.strip()
        == "a"
    )


def test_many_clients_on_one_cache(hub, client, kernel):
    """The real client's locks: each file's bytes come once, whoever asks."""
    hub.add_folder("acme/rms", kernel, "v1")
    code = f"print(snapshot_download('acme/rms', {KERNEL}, revision='v1'))"
    started = [client.start(code) for _ in range(3)]
    told = [process.communicate(timeout=40) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], told
    assert len({out for out, _ in told}) == 1
    fetched = files_of(pathlib.Path(told[0][0].strip()))
    assert {path: data for path, data in fetched.items() if path != ".gitattributes"} == files_of(kernel)
    bodies = [entry.target for entry in hub.seen("GET", "/objects/")]
    assert len(bodies) == len(set(bodies))
