// example-policy: refuses messages with a phrase, and counts those of each sender.
//
// A filter answers with a verdict: accept, reject (5xx), defer (4xx), discard or quarantine. The first that
// does not accept ends the question. onMessage is asked after the final dot, before the 250.

import config from "postern:policy/config@0.1.0";
import edit from "postern:policy/edit@0.1.0";
import kv from "postern:policy/kv@0.1.0";
import log from "postern:policy/log@0.1.0";
import message from "postern:policy/message@0.1.0";
import mime from "postern:policy/mime@0.1.0";
import session from "postern:policy/session@0.1.0";

export const lifecycle = {
  // Asked when the policy is loaded: what is thrown is what the administrator reads.
  validate() {
    known("phrase", "hourly");
    settings();
  },
};

export const messageFilter = {
  onMessage() {
    // They were validated when the policy was loaded.
    const { phrase, hourly } = settings();
    const sought = lower(octetsOf(phrase));
    const subject = message.headerText("Subject") ?? "";
    if (lower(octetsOf(subject)).includes(sought) || bodyContains(sought)) {
      return { tag: "reject", val: { code: 550, enhanced: "5.7.1", text: `"${phrase}" is not taken here` } };
    }
    const body = message.size() - message.bodyOffset();
    const parts = mime.parts().length;
    let mark = `${body} octets, ${parts === 1 ? "1 part" : `${parts} parts`}`;
    const sender = session.mailFrom();
    if (sender !== "") {
      const count = counted(`sent/${sender}`);
      if (count > hourly) {
        const text = `too many messages from ${sender}, try again in an hour`;
        return { tag: "defer", val: { code: 450, enhanced: "4.7.1", text } };
      }
      if (count > 0) {
        mark += `; message ${count} of this hour`;
      }
    }
    edit.addHeader("X-Example-Policy", mark);
    return { tag: "accept" };
  },
};

// What the administrator wrote in the file beside the component. What is not set is null.
function settings() {
  const phrase = config.get("phrase") ?? "wire the money";
  const octets = octetsOf(phrase).length;
  if (octets < 1 || octets > 200) {
    throw "phrase must have 1 to 200 octets";
  }
  const hourly = config.get("hourly") ?? "100";
  if (!/^[0-9]{1,7}$/.test(hourly) || Number(hourly) < 1 || Number(hourly) > 1000000) {
    throw "hourly must be a whole number from 1 to 1000000";
  }
  return { phrase, hourly: Number(hourly) };
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

// A missing key counts as 0; it is forgotten an hour after it was made. 0 where nothing can be counted.
function counted(key) {
  try {
    // An s64 is a number here and a BigInt in other engines.
    return Number(kv.increment(key, 1, 3600));
  } catch (error) {
    log.warn(`not counted: ${error.payload}`);
    return 0;
  }
}

// Reads the body in pieces: one reading gives at most 64 KiB.
function bodyContains(sought) {
  let offset = message.bodyOffset();
  // The end of the piece before: the phrase may lie across.
  let before = "";
  for (;;) {
    const piece = message.read(offset, 65536);
    if (piece.length === 0) {
      return false;
    }
    offset += piece.length;
    const window = before + lower(textOf(piece));
    if (window.includes(sought)) {
      return true;
    }
    before = sought.length > 1 ? window.slice(1 - sought.length) : "";
  }
}

// Mail has octets that are no text, and there is no TextDecoder here: a string with one character for each octet.
function textOf(octets) {
  let text = "";
  for (let at = 0; at < octets.length; at += 4096) {
    text += String.fromCharCode.apply(null, octets.subarray(at, at + 4096));
  }
  return text;
}

// The same of a text: the octets of its UTF-8.
function octetsOf(text) {
  return unescape(encodeURIComponent(text));
}

// Capital letters from A to Z as small ones, and no others.
function lower(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
