// The API's description as a page from which it can be tried: who is logged in asks as himself.
const root = new URL("..", location.href);

/** What orders of a login have to show. */
async function csrf() {
  const answer = await fetch(new URL("api/v1/session", root));
  return answer.ok ? ((await answer.json()).user?.csrf ?? null) : null;
}

(async () => {
  const answer = await fetch(new URL("api/openapi.json", root));
  const spec = await answer.json();
  // Behind a proxy its addresses lie below another path.
  spec.servers = [{ url: root.pathname.replace(/\/$/, "") || "/" }];
  const token = await csrf();
  SwaggerUIBundle({
    spec,
    domNode: document.getElementById("api"),
    deepLinking: true,
    docExpansion: "none",
    tryItOutEnabled: true,
    // No request to another host.
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (token && request.method !== "GET") request.headers["X-CSRF-Token"] = token;
      return request;
    },
  });
})();
