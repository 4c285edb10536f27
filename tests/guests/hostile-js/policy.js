// A guest that does what a policy must not: at MAIL FROM, what the setting `do` names.

import config from "postern:policy/config@0.1.0";
import log from "postern:policy/log@0.1.0";

export const connectionFilter = {
  onConnect() {
    return { tag: "accept" };
  },
};

export const senderFilter = {
  onMail() {
    switch (config.get("do")) {
      case "loop":
        for (;;) {}
      case "grow":
        for (const hoard = []; ; ) {
          hoard.push(new Uint8Array(1 << 20).fill(1));
        }
      case "recurse":
        recurse(0);
        break;
      case "logs":
        for (const line = "x".repeat(64 << 10); ; ) {
          log.error(line);
        }
      case "huge":
        return { tag: "reject", val: { code: 550, enhanced: "5.7.1", text: huge() } };
      case "trap":
        throw new Error("a trap, as the settings say");
    }
    return { tag: "accept" };
  },
};

function recurse(depth) {
  return recurse(depth + 1) + 1;
}

// 1 GB of text, in pieces that no engine shares.
function huge() {
  const pieces = [];
  for (let piece = 0; piece < 1024; piece += 1) {
    pieces.push(String(piece % 10).repeat(1 << 20));
  }
  return pieces.join("");
}
