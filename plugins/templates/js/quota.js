// example-policy: one bound for all mailboxes, one for each message, and a warning before.
//
// A quota answers with the highest usage that a mailbox may reach, this message included. The host compares
// it with exact usage when the message is delivered, so that messages arriving together cannot pass it.

import config from "postern:policy/config@0.1.0";

const MIB = 1024 * 1024;

export const lifecycle = {
  // Asked when the policy is loaded: what is thrown is what the administrator reads.
  validate() {
    known("mailbox", "message", "warn");
    settings();
  },
};

export const quota = {
  check(mailbox, current, incoming) {
    // They were validated when the policy was loaded.
    const bounds = settings();
    // A u64 is a number here and a BigInt in other engines.
    if (Number(incoming) > bounds.message * MIB) {
      const text = `a message for ${mailbox} may have ${bounds.message} MiB`;
      return { tag: "deny", val: { code: 552, enhanced: "5.2.3", text } };
    }
    const most = bounds.mailbox * MIB;
    const ceiling = { bytes: most, messages: null };
    const full = Math.floor(((Number(current.bytes) + Number(incoming)) * 100) / most);
    if (full >= bounds.warn) {
      return { tag: "warn", val: { text: `${mailbox} is ${full} % full`, ceiling } };
    }
    return { tag: "allow", val: ceiling };
  },
};

// MiB, MiB and per cent.
function settings() {
  return {
    mailbox: number("mailbox", 1024, 1000000),
    message: number("message", 25, 1000000),
    warn: number("warn", 90, 100),
  };
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

// What is not set is null.
function number(name, usual, most) {
  const text = config.get(name) ?? String(usual);
  if (!/^[0-9]{1,7}$/.test(text) || Number(text) < 1 || Number(text) > most) {
    throw `${name} must be a whole number from 1 to ${most}`;
  }
  return Number(text);
}
