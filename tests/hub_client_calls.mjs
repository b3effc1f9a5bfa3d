// The Hub's own client for JavaScript against HF_ENDPOINT. Ends with an error at the first call that does not do as it must.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as hub from "@huggingface/hub";

const at = { hubUrl: process.env.HF_ENDPOINT, accessToken: "hf_write", repo: { type: "space", name: "owner/hers" } };
const large = randomBytes(11 * 1024 * 1024);
const text = Buffer.from(Array.from({ length: 300_000 }, (_, number) => `line ${number} of a text\n`).join(""));
const card = "---\ntitle: Hers\nsdk: docker\n---\n";

const content = async (path, more = {}) => Buffer.from(await (await hub.downloadFile({ ...at, path, ...more })).arrayBuffer());
const upload = (title, useXet, files) =>
  hub.uploadFiles({ ...at, title, useXet, files: Object.entries(files).map(([path, bytes]) => ({ path, content: new Blob([bytes]) })) });
const all = async (listed, name) => {
  const found = [];
  for await (const item of listed) found.push(item[name]);
  return found;
};
const refused = (call, status) => assert.rejects(call, (error) => error.statusCode === status);

assert.equal((await hub.whoAmI(at)).name, "owner");
await hub.createRepo({ ...at, sdk: "docker" });
await refused(hub.createRepo({ ...at, sdk: "docker" }), 409);
assert.equal(await hub.repoExists(at), true);

await upload("by Xet", true, { "large.bin": large, "text.txt": text, "README.md": card, Dockerfile: "FROM x\n" });
await upload("by LFS", false, { "other.bin": large.subarray(1) });
assert.deepEqual(await all(hub.listFiles({ ...at, recursive: true }), "path"), [
  ".gitattributes", "Dockerfile", "README.md", "large.bin", "other.bin", "text.txt",
]);
assert.ok((await content("large.bin")).equals(large));
assert.ok((await content("text.txt")).equals(text));
assert.ok((await content("large.bin", { xet: false })).equals(large));
assert.ok((await content("other.bin")).equals(large.subarray(1)));
assert.equal((await content("Dockerfile")).toString(), "FROM x\n");
assert.equal(await hub.downloadFile({ ...at, path: "no" }), null);
assert.equal(await hub.fileExists({ ...at, path: "Dockerfile" }), true);
assert.equal((await hub.fileDownloadInfo({ ...at, path: "large.bin" })).size, large.length);
assert.equal((await hub.pathsInfo({ ...at, paths: ["Dockerfile", "no"] })).length, 1);

await hub.deleteFile({ ...at, path: "Dockerfile" });
assert.equal((await all(hub.listCommits(at), "title")).at(-1), "initial commit");
assert.equal(await hub.countCommits(at), 4);
await hub.createBranch({ ...at, branch: "b" });
await hub.deleteBranch({ ...at, branch: "b" });
assert.equal((await hub.spaceInfo({ ...at, name: at.repo.name })).sdk, "docker");
assert.deepEqual(await all(hub.listSpaces({ ...at, search: { owner: "owner" } }), "name"), ["owner/hers"]);
await hub.checkRepoAccess(at);
await refused(hub.checkRepoAccess({ ...at, accessToken: "hf_unknown" }), 401);
await hub.deleteRepo(at);
await refused(hub.checkRepoAccess(at), 404);
