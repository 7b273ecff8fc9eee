import ChartNoAxesColumn from "lucide-react/icons/chart-no-axes-column";
import ChevronsUpDown from "lucide-react/icons/chevrons-up-down";
import KeyRound from "lucide-react/icons/key-round";
import LockKeyhole from "lucide-react/icons/lock-keyhole";
import LogOut from "lucide-react/icons/log-out";
import Monitor from "lucide-react/icons/monitor";
import MonitorSmartphone from "lucide-react/icons/monitor-smartphone";
import Moon from "lucide-react/icons/moon";
import SettingsIcon from "lucide-react/icons/settings-2";
import Sun from "lucide-react/icons/sun";
import { useLocation } from "wouter";
import { logout } from "../api/auth";
import { problemOf } from "../api/http";
import { useMe } from "../api/queries";
import { Menu, type MenuEntry, toast, useTheme } from "../ui";

/** Who is logged in, and what is his. */
export function UserMenu({ onNavigate }: { onNavigate?: () => void }) {
  const me = useMe();
  const [, navigate] = useLocation();
  const { theme, setTheme } = useTheme();
  const go = (path: string) => () => {
    onNavigate?.();
    navigate(path);
  };
  const items: MenuEntry[] = [
    { label: "Settings", icon: <SettingsIcon />, onSelect: go("/account/settings") },
    { label: "Usage", icon: <ChartNoAxesColumn />, onSelect: go("/account/usage") },
    { label: "API keys", icon: <KeyRound />, onSelect: go("/account/keys") },
    { label: "Sessions", icon: <MonitorSmartphone />, onSelect: go("/account/sessions") },
    { label: "Password", icon: <LockKeyhole />, onSelect: go("/account/password") },
    { separator: true },
    {
      group: "Theme",
      items: [
        { label: "As the system", icon: <Monitor />, checked: theme === "system", onSelect: () => setTheme("system") },
        { label: "Light", icon: <Sun />, checked: theme === "light", onSelect: () => setTheme("light") },
        { label: "Dark", icon: <Moon />, checked: theme === "dark", onSelect: () => setTheme("dark") },
      ],
    },
    { separator: true },
    { label: "Log out", icon: <LogOut />, onSelect: leave },
  ];
  const name = me?.name ?? "";
  return (
    <div className="frame-user">
      <Menu
        label="Account"
        side="top"
        align="start"
        items={items}
        trigger={(props) => (
          <button type="button" className="frame-user-button" {...props}>
            <span className="frame-avatar" aria-hidden="true">
              {name.slice(0, 1).toUpperCase()}
            </span>
            <span className="frame-user-name">{name}</span>
            <span className="sr-only">, account and theme</span>
            <ChevronsUpDown aria-hidden="true" />
          </button>
        )}
      />
    </div>
  );
}

function leave(): void {
  logout().catch((error: unknown) => toast(`You are still logged in. ${problemOf(error).text}`, "error"));
}
