/* The search of the theme runs in a Worker. A page that was opened as a file may not start one: there it gets
 * a hidden frame, which loads the same script and gets and posts the same messages, as copies and later. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.later(this, data);
      inside.importScripts = (...urls) => urls.forEach((one) => this.load(one));
      this.load(url, () => {
        this.waiting.forEach((data) => this.later(inside, data));
        this.waiting = null;
      });
    }
    later(target, data) {
      const copy = structuredClone(data);
      setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data: copy })));
    }
    load(url, then) {
      const inside = this.frame.contentDocument;
      const script = inside.createElement("script");
      script.src = new URL(url, location.href);
      script.addEventListener("load", () => then && then());
      script.addEventListener("error", () => this.dispatchEvent(new Event("error")));
      inside.head.append(script);
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(structuredClone(data));
      else this.later(this.frame.contentWindow, data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
