/* All URLs are relative, so that the page works at every name of its host. */
const absolute = (url) => new URL(url, location.href).href;

const PEOPLE = "People", CLIENTS = "Service clients", TOKEN = "Access token";
const STORED = "automart-docs-logins";
const RENEW_BEFORE = 30_000; /* milliseconds */

const banner = document.getElementById("ended");
let docs;

/* Swagger UI shows schemes under their names, takes the two flows of one scheme for one login, and
   resolves relative URLs of servers, but not those of OAuth. */
function prepare(spec) {
  const {oauth2, bearer} = spec.components.securitySchemes;
  const flowOf = (name) => {
    const flow = {...oauth2.flows[name]};
    for (const key of Object.keys(flow)) if (key.endsWith("Url")) flow[key] = absolute(flow[key]);
    return {[name]: flow};
  };
  spec.components.securitySchemes = {
    [PEOPLE]: {type: "oauth2", description: "The login page opens.", flows: flowOf("authorizationCode")},
    [CLIENTS]: {type: "oauth2", description: "Programs have an id and a secret.", flows: flowOf("clientCredentials")},
    [TOKEN]: bearer,
  };
  const operations = Object.values(spec.paths).flatMap((item) => Object.values(item));
  for (const operation of operations) {
    if (operation.security?.length) {
      operation.security = [PEOPLE, CLIENTS, TOKEN].map((name) => ({[name]: []}));
    }
  }
  spec.servers = spec.servers.map(({url}) => ({url: absolute(url).replace(/\/$/, "")}));
  return spec;
}

/* The storage belongs to the tab, so that two tabs never use the same refresh token. */
function keepLogins() {
  let kept;
  docs.getStore().subscribe(() => {
    const logins = docs.authSelectors.authorized();
    if (logins === kept) return;
    kept = logins;
    const withoutSecrets = (key, value) => key === "clientSecret" || key === "codeVerifier" ? undefined : value;
    sessionStorage.setItem(STORED, JSON.stringify(logins, withoutSecrets));
  });
}

function restoreLogins() {
  const stored = sessionStorage.getItem(STORED);
  if (stored) docs.authActions.restoreAuthorization({authorized: JSON.parse(stored)});
}

const loginOf = (name) => docs.authSelectors.authorized().get(name)?.toJS();

const send = (path, form) => fetch(absolute(path), {method: "POST", body: new URLSearchParams(form), keepalive: true});

/* Replace tokens that are about to expire. Returns whether the login still exists. */
async function renew(name) {
  const {token, ...auth} = loginOf(name);
  if (Date.now() < token.expires_at - RENEW_BEFORE) return true;
  if (!token.refresh_token) return Date.now() < token.expires_at;
  const response = await send("oauth/token", {
    grant_type: "refresh_token", refresh_token: token.refresh_token, client_id: "docs",
  });
  if (response.ok) docs.authActions.authorizeOauth2({auth, token: await response.json()});
  return response.ok || response.status >= 429; /* no verdict: the next request tries again */
}

/* End the session of the login page too, so that the next login asks for the password. */
async function endSession() {
  const page = new DOMParser().parseFromString(await (await fetch(absolute("login"))).text(), "text/html");
  const form = new FormData(page.querySelector("form"));
  await fetch(absolute("logout"), {method: "POST", body: form});
}

let renewal = Promise.resolve();

/* Renew all logins. Concurrent requests wait for one renewal: a refresh token is valid once. */
function renewLogins() {
  renewal = renewal.then(async () => {
    for (const name of [PEOPLE, CLIENTS]) {
      if (loginOf(name) && !await renew(name).catch(() => true)) {
        docs.authActions.logout([name]);
        banner.hidden = false;
      }
    }
  });
  return renewal;
}

const isOfApi = (url) => !url.startsWith(absolute("oauth/"));

async function beforeRequest(request) {
  if (request.loadSpec || !isOfApi(request.url)) return request;
  const before = [PEOPLE, CLIENTS].map((name) => loginOf(name)?.token.access_token);
  await renewLogins();
  [PEOPLE, CLIENTS].forEach((name, index) => {
    /* Swagger UI has already added the token. */
    if (request.headers.Authorization !== `Bearer ${before[index]}`) return;
    const token = loginOf(name)?.token.access_token;
    if (token) request.headers.Authorization = `Bearer ${token}`;
    else delete request.headers.Authorization;
  });
  return request;
}

function afterResponse(response) {
  if (response.status === 401 && isOfApi(response.url)) banner.hidden = false;
  else if (response.ok) banner.hidden = true;
  return response;
}

const hasWord = (operation, word) => [
  operation.get("path"), operation.getIn(["operation", "summary"]), operation.getIn(["operation", "operationId"]),
].some((text) => text.toLowerCase().includes(word));

/* Finds operations by path and title, where Swagger UI finds groups by name only. */
function findOperations(groups, phrase) {
  const word = phrase.toLowerCase();
  return groups
    .map((group, tag) => tag.toLowerCase().includes(word)
      ? group : group.update("operations", (all) => all.filter((each) => hasWord(each, word))))
    .filter((group) => group.get("operations").size);
}

const withProps = (change) => (Original, system) => (props) =>
  system.React.createElement(Original, {...props, ...change(props)});

const filterOf = (layoutSelectors) => {
  const filter = layoutSelectors.currentFilter();
  return typeof filter === "string" ? filter : "";
};

const plugin = ({React}) => ({
  fn: {opsFilter: findOperations},
  components: {
    FilterContainer: ({layoutSelectors, layoutActions}) => React.createElement(
      "div", {className: "filter wrapper"}, React.createElement("input", {
        className: "operation-filter-input", type: "search", placeholder: "Filter operations",
        "aria-label": "Filter operations", value: filterOf(layoutSelectors),
        onChange: (event) => layoutActions.updateFilter(event.target.value),
      }),
    ),
  },
  statePlugins: {auth: {wrapActions: {
    authorizeOauth2: (original) => ({auth, token}) =>
      original({auth, token: {...token, expires_at: Date.now() + token.expires_in * 1000}}),
    logoutWithPersistOption: (original) => (names) => {
      const token = names.includes(PEOPLE) && loginOf(PEOPLE)?.token;
      if (token) {
        send("oauth/revoke", {token: token.refresh_token, client_id: "docs"});
        endSession();
      }
      return original(names);
    },
  }}},
  wrapComponents: {
    /* The dialog would scroll to the last of its fields. */
    Input: withProps(() => ({autoFocus: false})),
    /* Only people log in by the client of this page. */
    oauth2: withProps(({schema, authSelectors}) => ({
      authSelectors: {
        ...authSelectors,
        getConfigs: () => schema.get("flow") === "authorizationCode" ? authSelectors.getConfigs() : {},
      },
    })),
    /* Groups are closed unless the filter has found something in them. */
    OperationTag: withProps(({layoutSelectors}) => ({
      layoutSelectors: {
        ...layoutSelectors,
        isShown: (key, isOpen) => layoutSelectors.isShown(key, isOpen || filterOf(layoutSelectors) !== ""),
      },
    })),
  },
});

async function show() {
  const spec = prepare(await (await fetch("openapi.json")).json());
  docs = SwaggerUIBundle({
    spec, dom_id: "#docs", deepLinking: true, validatorUrl: null,
    oauth2RedirectUrl: absolute("docs/oauth2-redirect.html"),
    docExpansion: "none", filter: true,
    plugins: [plugin],
    requestInterceptor: beforeRequest, responseInterceptor: afterResponse,
  });
  docs.initOAuth({clientId: "docs", usePkceWithAuthorizationCodeGrant: true});
  restoreLogins();
  keepLogins();
}
show();
