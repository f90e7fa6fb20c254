package main

import (
	"context"
	"encoding/json"
	"errors"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// cluster is roles and bindings, and who asks for what.
type cluster struct {
	Roles               []*rbacv1.Role               `json:"roles"`
	ClusterRoles        []*rbacv1.ClusterRole        `json:"clusterRoles"`
	RoleBindings        []*rbacv1.RoleBinding        `json:"roleBindings"`
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding `json:"clusterRoleBindings"`

	User      string   `json:"user"`
	Groups    []string `json:"groups"`
	Namespace string   `json:"namespace"`

	// What is asked for.
	Verb            string `json:"verb"`
	APIGroup        string `json:"group"`
	Resource        string `json:"resource"`
	Subresource     string `json:"subresource"`
	Name            string `json:"name"`
	Path            string `json:"path"`
	ResourceRequest bool   `json:"resourceRequest"`

	// What is given away.
	Rules []rbacv1.PolicyRule `json:"rules"`
}

func (c *cluster) GetRole(_ context.Context, namespace, name string) (*rbacv1.Role, error) {
	for _, role := range c.Roles {
		if role.Namespace == namespace && role.Name == name {
			return role, nil
		}
	}
	return nil, apierrors.NewNotFound(rbacv1.Resource("role"), name)
}

func (c *cluster) GetClusterRole(_ context.Context, name string) (*rbacv1.ClusterRole, error) {
	for _, role := range c.ClusterRoles {
		if role.Name == name {
			return role, nil
		}
	}
	return nil, apierrors.NewNotFound(rbacv1.Resource("clusterrole"), name)
}

func (c *cluster) ListRoleBindings(_ context.Context, namespace string) ([]*rbacv1.RoleBinding, error) {
	var of []*rbacv1.RoleBinding
	for _, binding := range c.RoleBindings {
		if binding.Namespace == namespace {
			of = append(of, binding)
		}
	}
	return of, nil
}

func (c *cluster) ListClusterRoleBindings(context.Context) ([]*rbacv1.ClusterRoleBinding, error) {
	return c.ClusterRoleBindings, nil
}

func readCluster(in json.RawMessage) (*cluster, user.Info) {
	var asked cluster
	if err := json.Unmarshal(in, &asked); err != nil {
		panic(err)
	}
	return &asked, &user.DefaultInfo{Name: asked.User, Groups: asked.Groups}
}

// authorize answers why a request is allowed; the error is why it is not.
func authorize(in json.RawMessage) (any, error) {
	asked, who := readCluster(in)
	decision, reason, err := rbac.New(asked, asked, asked, asked).Authorize(context.Background(), authorizer.AttributesRecord{
		User: who, Verb: asked.Verb, Namespace: asked.Namespace, APIGroup: asked.APIGroup, APIVersion: "v1",
		Resource: asked.Resource, Subresource: asked.Subresource, Name: asked.Name,
		ResourceRequest: asked.ResourceRequest, Path: asked.Path,
	})
	if err != nil {
		panic(err)
	}
	if decision != authorizer.DecisionAllow {
		return nil, errors.New("no opinion. " + reason)
	}
	return reason, nil
}

// escalate says whether somebody may give rules away; the error is what he lacks.
func escalate(in json.RawMessage) (any, error) {
	asked, who := readCluster(in)
	ctx := request.WithNamespace(request.WithUser(context.Background(), who), asked.Namespace)
	resolver := validation.NewDefaultRuleResolver(asked, asked, asked, asked)
	if err := validation.ConfirmNoEscalation(ctx, resolver, asked.Rules); err != nil {
		return nil, err
	}
	return "held", nil
}
