// Notes about a job. The service reads the Markdown; here its tree becomes elements, and only those that are named below.

import { ApiProblem, Unreachable, call, jobPath } from "./api.js";
import { $, h, show } from "./dom.js";

const TAGS = new Set("p h3 h4 h5 h6 ul ol li blockquote pre code em strong s a br hr table thead tbody tr th td".split(" "));
const LINK = /^(https?:\/\/|mailto:|\/(?![/\\])|#)/i;

/** An element of the tree, or text. */
function built(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const children = node.children.map(built);
  if (!TAGS.has(node.tag) || (node.tag === "a" && !LINK.test(node.href))) return h("span", {}, ...children);
  if (node.tag === "table") return h("div", { class: "scroll" }, h("table", {}, ...children));
  if (node.tag !== "a") return h(node.tag, { start: node.tag === "ol" ? node.start : null }, ...children);
  const elsewhere = !/^[/#]/.test(node.href);
  return h("a", { href: node.href, rel: "noopener noreferrer nofollow", target: elsewhere ? "_blank" : null }, ...children);
}

export class Notes {
  /** The card `card` of the job `id`. */
  constructor(card, id) {
    this.card = card;
    this.path = jobPath(id, "/notes");
    this.known = null;
    this.form = $("form", card);
    this.field = $("textarea", card);
    this.write = $(".write", card);
    this.refusal = $(".refusal", card);
    this.write.addEventListener("click", () => this.#open());
    $(".leave", card).addEventListener("click", () => this.#close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#close();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
  }

  /** Shows what is written, unless somebody is writing here. */
  async load() {
    const answer = await call(this.path);
    if (this.form.hidden) this.#show(answer);
  }

  #show({ data, etag }) {
    this.known = { text: data.text, etag };
    $(".written", this.card).replaceChildren(...data.rendered.map(built));
    show($(".written", this.card), data.text !== "");
    show($(".none", this.card), data.text === "");
    show(this.card);
  }

  #open() {
    this.field.value = this.known.text;
    this.#writing(true);
    this.field.focus();
  }

  #close() {
    this.#writing(false);
    this.write.focus();
  }

  #writing(now) {
    show(this.form, now);
    show(this.write, !now);
    show($(".written", this.card), !now && this.known.text !== "");
    show($(".none", this.card), !now && this.known.text === "");
    this.refusal.textContent = "";
  }

  async #save() {
    const body = JSON.stringify({ text: this.field.value });
    try {
      const answer = await call(this.path, { method: "PUT", headers: { "Content-Type": "application/json", "If-Match": this.known.etag }, body });
      this.#show(answer);
      this.#close();
    } catch (error) {
      if (error instanceof Unreachable) this.refusal.textContent = "The service did not respond. Your text is still here: save it again.";
      else if (error instanceof ApiProblem && error.problem.status === 412) await this.#others();
      else if (error instanceof ApiProblem) this.refusal.textContent = error.message;
      else throw error;
    }
  }

  /** Somebody wrote in between: their notes are put below these ones, to be sorted out by the person who looks at both. */
  async #others() {
    const { data, etag } = await call(this.path);
    this.field.value = `${this.field.value}\n\n---\n\n${data.text}`;
    this.known = { text: data.text, etag };
    this.refusal.textContent = "Somebody else changed the notes in between. Theirs are below yours now: keep what you want, and save again.";
  }
}
