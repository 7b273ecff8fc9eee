import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { takeInvitations } from "./account/invitation";
import { wasLoggedIn } from "./api/auth";
import { App } from "./app";
import "./styles/tokens.css";
import "./styles/base.css";
import "./ui/controls.css";
import "./ui/surfaces.css";
import { applyTheme } from "./ui/theme";

takeInvitations();
applyTheme();
// Meanwhile the session is asked for. Who needs it later finds it loaded, or loads it again.
if (wasLoggedIn()) import("./chat/chat").catch(() => undefined);

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
