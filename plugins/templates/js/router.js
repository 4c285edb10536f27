// example-policy: one address for a team, addresses with a detail behind a plus, and one that is closed.
//
// A router says where mail for an address goes: pass (not mine, the next is asked), local, rewrite (ask
// again for these), relay, discard, reject or defer. The first that does not pass decides.

import config from "postern:policy/config@0.1.0";

export const lifecycle = {
  // Asked when the policy is loaded: what is thrown is what the administrator reads.
  validate() {
    known("team", "members", "closed");
    const wrong = members().find((member) => parts(member) === null);
    if (wrong !== undefined) {
      throw `members: \`${wrong}\` is no address`;
    }
  },
};

export const router = {
  // The domain of `recipient` is in small letters.
  resolve(recipient) {
    if (config.get("closed") === recipient) {
      return { tag: "reject", val: { code: 550, enhanced: "5.1.1", text: `${recipient} is closed` } };
    }
    if (config.get("team") === recipient) {
      return { tag: "rewrite", val: members() };
    }
    const { local, domain } = parts(recipient) ?? { local: "", domain: "" };
    const plus = local.indexOf("+");
    if (plus > 0) {
      return { tag: "rewrite", val: [`${local.slice(0, plus)}@${domain}`] };
    }
    return { tag: "pass" };
  },
};

// What is not set is null.
function members() {
  const members = config.get("members") ?? "";
  return members.split(",").map((member) => member.replace(/^ +| +$/g, ""));
}

// Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map.
function known(...names) {
  for (const [name, value] of Object.entries(JSON.parse(config.json()))) {
    if (!names.includes(name)) {
      throw `unknown setting \`${name}\`: known are ${names.join(", ")}`;
    }
    if (value !== null && typeof value === "object") {
      throw `${name} must be one value, not a list or a map`;
    }
  }
}

function parts(address) {
  const at = address.lastIndexOf("@");
  if (at < 1 || at === address.length - 1) {
    return null;
  }
  return { local: address.slice(0, at), domain: address.slice(at + 1) };
}
