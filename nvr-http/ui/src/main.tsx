import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import "./lib/theme";
import "./styles/index.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  void navigator.serviceWorker.register(new URL("sw.js", document.baseURI), { scope: new URL(".", document.baseURI).pathname }).catch(() => {});
}
