/** Where the recorder is: the page's <base>, so that it also works below a path of a proxy. */
export const BASE_PATH = new URL(document.baseURI).pathname.replace(/\/+$/, "");

/** Address of a path of the recorder (`"/api/v1/cameras"`). */
export const at = (path: string): string => `${BASE_PATH}${path}`;

/** The same for a WebSocket. */
export const socketAt = (path: string): string => {
  const url = new URL(at(path), document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
};
