// Rows that are images, drawn from their pixels.

import { ApiProblem, get, jobPath } from "./api.js";
import { h } from "./dom.js";

const SIDE = 48; // of a picture on the page, in CSS pixels
const MOST = 50; // rows in one request

export class Pictures {
  static #all = new Map(); // job id → its pictures

  static of(jobId) {
    if (!Pictures.#all.has(jobId)) Pictures.#all.set(jobId, new Pictures(jobId));
    return Pictures.#all.get(jobId);
  }

  constructor(jobId) {
    this.jobId = jobId;
    this.image = undefined; // the shape; null when the rows are no images
    this.rows = new Map();
  }

  /** Whether the rows are known to be images. */
  get known() {
    return Boolean(this.image);
  }

  /** Gets the rows that are not there yet. Returns whether there is something new to draw. */
  async fetch(ids) {
    const wanted = ids.filter((id) => !this.rows.has(id));
    if (this.image === null || wanted.length === 0) return false;
    for (let begin = 0; begin < wanted.length && this.image !== null; begin += MOST) {
      const query = wanted.slice(begin, begin + MOST).map((id) => `id=${encodeURIComponent(id)}`).join("&");
      try {
        const { image, items } = await get(jobPath(this.jobId, `/rows/features?${query}`));
        this.image = image;
        for (const row of items) this.rows.set(row.id, row);
      } catch (error) {
        if (!(error instanceof ApiProblem)) throw error;
        this.image = null; // the dataset is gone: the page does without
      }
    }
    return this.known;
  }

  /** The row as a picture, `side` CSS pixels large, or nothing. */
  picture(id, side = SIDE) {
    const row = this.rows.get(id);
    if (!row || !this.image) return null;
    const { height, width, channels, low, high } = this.image;
    const canvas = h("canvas", { class: "picture", width, height, role: "img", "aria-label": `Row ${id} as an image` });
    const scale = side / Math.max(width, height);
    canvas.style.width = `${width * scale}px`;
    canvas.style.height = `${height * scale}px`;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    const shade = (value) => (255 * (value - low)) / (high - low || 1);
    for (let place = 0; place < width * height; place += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        pixels.data[4 * place + channel] = shade(row.values[place * channels + (channels >= 3 ? channel : 0)]);
      }
      pixels.data[4 * place + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }
}
