/* The search of the theme runs in a Worker. A page that was opened as a file may not start one: there it gets
 * a hidden frame, which loads the same script and gets and posts the same messages. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) => urls.forEach((one) => this.load(one));
      this.load(url, () => {
        this.waiting.forEach((data) => this.hand(data));
        this.waiting = null;
      });
    }
    load(url, then) {
      const inside = this.frame.contentDocument;
      const script = inside.createElement("script");
      script.src = new URL(url, location.href);
      script.addEventListener("load", () => then && then());
      script.addEventListener("error", () => this.dispatchEvent(new Event("error")));
      inside.head.append(script);
    }
    hand(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.hand(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
